package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"net/url"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/grantd/grantd/api/pages"
)

// brandSettings are how the pages look.
type brandSettings struct {
	BrandName  string `default:"grantd" placeholder:"TEXT" help:"What the pages call this service."`
	BrandLogo  string `placeholder:"FILE" help:"A PNG or SVG image, of 256 KiB at most, that the pages show instead of the key."`
	SupportURL string `name:"support-url" placeholder:"URL" help:"Where people find help; every page links to it."`
}

const maxLogo = 256 << 10

func (c *Config) judgeBrand(judge func(flag, problem string)) {
	if n := utf8.RuneCountInString(c.BrandName); n > 40 || !utf8.ValidString(c.BrandName) || strings.ContainsFunc(c.BrandName, unicode.IsControl) {
		judge("brand-name", "must be at most 40 characters, in one line")
	}
	_, _, problem := readLogo(c.BrandLogo)
	judge("brand-logo", problem)
	judge("support-url", optional(c.SupportURL, func(raw string) string {
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
			return "must be an https URL, such as https://help.example.com"
		}
		return ""
	}))
}

// readLogo returns the image and its media type, or what is wrong with it.
func readLogo(path string) (content []byte, mediaType, problem string) {
	if path == "" {
		return nil, "", ""
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, "", "the file cannot be read: " + errors.Unwrap(err).Error()
	}
	defer f.Close()
	content, err = io.ReadAll(io.LimitReader(f, maxLogo+1))
	switch {
	case err != nil:
		return nil, "", "the file cannot be read"
	case len(content) > maxLogo:
		return nil, "", "the image must be at most 256 KiB"
	}
	if _, err := png.DecodeConfig(bytes.NewReader(content)); err == nil {
		return content, "image/png", ""
	}
	if isSVG(content) {
		return content, "image/svg+xml", ""
	}
	return nil, "", "the file must be a PNG or SVG image"
}

// isSVG reports whether all of it is XML, with an svg element at the root.
func isSVG(content []byte) bool {
	root := ""
	for d := xml.NewDecoder(bytes.NewReader(content)); ; {
		token, err := d.Token()
		if err != nil {
			return errors.Is(err, io.EOF) && root == "svg"
		}
		if start, ok := token.(xml.StartElement); ok && root == "" {
			root = start.Name.Local
		}
	}
}

func (c *Config) brand() pages.Brand {
	logo, mediaType, _ := readLogo(c.BrandLogo)
	return pages.Brand{Name: c.BrandName, Logo: logo, LogoType: mediaType, SupportURL: c.SupportURL}
}
