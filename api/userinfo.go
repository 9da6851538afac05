package api

import (
	"context"

	"github.com/grantd/grantd/models"
)

// User is a person as the provider describes them. The nickname comes in both
// spellings: the documents have one, the SDK reads the other.
type User struct {
	models.User
	Nickname string `json:"nickname" doc:"The same as nickName."`
}

func user(u models.User) *User {
	if u.Raw == nil {
		u.Raw = map[string]any{}
	}
	return &User{User: u, Nickname: u.NickName}
}

func (s *Server) userInfo(ctx context.Context, c models.Caller, in *ByID) (*private[User], error) {
	u, err := s.service.UserInfo(ctx, c, in.ID)
	return privately(user(u)), err
}
