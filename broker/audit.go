package broker

import (
	"github.com/grantd/grantd/models"
)

// audit builds the event of one change: ids and codes only (H2).
type audit struct{ e models.AuditEvent }

func event(c models.Caller, action models.Action) audit {
	return audit{models.AuditEvent{ID: newID(), OrgID: c.OrgID, UserID: c.UserID, Actor: c.Actor, TokenID: c.TokenID, Action: action}}
}

// ownEvent is for what the service does on nobody's request: it is put down to
// the organisation alone.
func ownEvent(org string, action models.Action) audit {
	return event(models.Caller{OrgID: org}, action)
}

// KeysetEvent is about the keyset, which belongs to the whole instance and to no
// organisation; key is the id of the key that was added, promoted or removed, "" where the
// event is about none.
func KeysetEvent(action models.Action, key string) models.AuditEvent {
	return ownEvent("", action).code(key).done()
}

func (a audit) provider(id string) audit      { a.e.ProviderID = id; return a }
func (a audit) authorization(id string) audit { a.e.AuthorizationID = id; return a }
func (a audit) job(id string) audit           { a.e.JobID = id; return a }
func (a audit) code(code string) audit        { a.e.Code = code; return a }
func (a audit) done() models.AuditEvent       { return a.e }
