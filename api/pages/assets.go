package pages

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"github.com/labstack/echo/v4"
)

// asset is a file of ours at a path that changes with it, so that browsers may keep it for ever.
type asset struct {
	path, mediaType string
	content         []byte
}

// newAsset names a file after its content. begin and end are the rest of its name.
func newAsset(begin, end, mediaType string, content []byte) asset {
	sum := sha256.Sum256(content)
	return asset{"/assets/" + begin + hex.EncodeToString(sum[:6]) + end, mediaType, content}
}

func newScript(content []byte) asset {
	return newAsset("", ".js", "text/javascript; charset=utf-8", content)
}

func (a asset) serve(c echo.Context) error {
	c.Response().Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	return c.Blob(http.StatusOK, a.mediaType, a.content)
}
