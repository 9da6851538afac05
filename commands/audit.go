package commands

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

type auditCommand struct {
	User       string        `placeholder:"USER" help:"Only what this user did, or what was done for it."`
	Actor      string        `placeholder:"USER" help:"Only what this service or admin did for another user."`
	Action     []string      `placeholder:"ACTION" help:"Only this action, such as provider.changed; may be repeated."`
	Provider   string        `placeholder:"SLUG" help:"Only what is about this provider, by id or slug."`
	Connection string        `placeholder:"ID" help:"Only what is about this connection."`
	Job        string        `placeholder:"ID" help:"Only what this job did."`
	Since      time.Duration `placeholder:"TIME" help:"Only what happened within this time, such as 24h or 7d."`
	From       time.Time     `placeholder:"TIME" help:"Only what happened from then on, such as 2026-11-24T00:00:00Z."`
	To         time.Time     `placeholder:"TIME" help:"Only what happened before."`
	Export     bool          `help:"Print everything that fits as JSON lines."`
	limited
}

// Run lists events.
func (a auditCommand) Run(ctx context.Context, s *Session) error {
	if a.Since != 0 && !a.From.IsZero() {
		return usage("give --since or --from, not both")
	}
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	q := client.AuditQuery{UserID: a.User, Actor: a.Actor, Actions: texts[models.Action](a.Action), AuthorizationID: a.Connection, JobID: a.Job, From: a.From, To: a.To}
	if a.Since != 0 {
		q.From = time.Now().Add(-a.Since)
	}
	if q.ProviderID, err = providerID(ctx, c, a.Provider); err != nil {
		return err
	}
	if a.Export {
		return c.ExportAudit(ctx, q, &printableLines{to: s.Out})
	}
	all := []models.AuditEvent{}
	t := table{head: []string{"AT", "ACTION", "USER", "ACTOR", "PROVIDER", "CONNECTION", "JOB", "CODE"}}
	for e, err := range c.Audit(ctx, q) {
		if err != nil {
			return err
		}
		all = append(all, e)
		t.add(at(&e.At), string(e.Action), e.UserID, e.Actor, e.ProviderID, e.AuthorizationID, e.JobID, e.Code)
		if a.full(len(all)) {
			break
		}
	}
	return s.show(all, t)
}

// printableLines writes JSON lines with everything escaped that a terminal might act on.
type printableLines struct {
	to   io.Writer
	line []byte // what has come of a line that has not ended
}

func (p *printableLines) Write(b []byte) (int, error) {
	p.line = append(p.line, b...)
	end := bytes.LastIndexByte(p.line, '\n') + 1
	if _, err := io.WriteString(p.to, escape(string(p.line[:end]), printableJSON, pair)); err != nil {
		return 0, err
	}
	p.line = append(p.line[:0], p.line[end:]...)
	return len(b), nil
}
