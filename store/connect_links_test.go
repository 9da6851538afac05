package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// The list of open links has those, and only those, whose status says that they may still connect: a link whose code was
// being exchanged when its bearer token ended had the status begun, and was missing from the list. A flow that is done has
// ended its link in the same transaction.
func TestTheListOfOpenLinksAgreesWithTheirStatuses(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		all := map[string]string{}
		for _, status := range []models.FlowStatus{"", models.FlowOpen, models.FlowClaimed, models.FlowExchanged, models.FlowFailed} {
			for _, flowOver := range []bool{false, true} {
				for _, linkOver := range []bool{false, true} {
					for _, token := range []string{"", "lives", "over"} {
						for _, ended := range []models.LinkEnd{"", models.LinkDone, models.LinkWithdrawn} {
							l := models.ConnectLink{ID: id(), KeyHash: []byte(id()), OrgID: "acme", UserID: "ada", ProviderID: f.provider.ID, Scopes: models.Strings{}, Confirm: true, Ended: ended}
							life := map[bool]time.Duration{false: time.Hour, true: -time.Hour}
							if token != "" {
								ends := time.Now().UTC().Add(life[token == "over"])
								l.TokenEndsAt = &ends
							}
							if status != "" {
								flow := models.Flow{ID: id(), OrgID: "acme", UserID: "ada", ProviderID: f.provider.ID, Channel: models.ChannelAPI, StateHash: []byte(id()), Status: status,
									Scopes: models.Strings{}, Sealed: []byte("sealed")}
								if err := f.InsertFlow(ctx, &flow, life[flowOver]); err != nil {
									t.Fatal(err)
								}
								l.FlowID = &flow.ID
							}
							if err := f.InsertConnectLink(ctx, &l, life[linkOver]); err != nil {
								t.Fatal(err)
							}
							all[l.ID] = fmt.Sprintf("flow %q (over: %v), link over: %v, token %q, ended %q", status, flowOver, linkOver, token, ended)
						}
					}
				}
			}
		}
		links, err := f.ConnectLinks(ctx, "acme", store.ConnectLinkFilter{}, nil, 1000)
		if err != nil || len(links) != len(all) {
			t.Fatalf("%d of %d links are listed: %v", len(links), len(all), err)
		}
		open, err := f.ConnectLinks(ctx, "acme", store.ConnectLinkFilter{Open: true}, nil, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links {
			may := slices.Contains([]models.LinkStatus{models.LinkOpen, models.LinkBegun, models.LinkReturned}, l.Status)
			listed := slices.ContainsFunc(open, func(o models.ConnectLink) bool { return o.ID == l.ID })
			if may != listed {
				t.Errorf("the status is %s, and in the list of open links: %v: %s", l.Status, listed, all[l.ID])
			}
		}
	})
}
