package console

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/models"
)

// Plots are drawn by the server as inline SVG, each with the table of its figures beside it, which screen readers read.

// periods are how many days can be shown.
var periods = []choice{{"30", "30 days"}, {"90", "90 days"}, {"400", "13 months"}}

const usualPeriod = 90

func period(c echo.Context) int {
	text := c.QueryParam("days")
	if slices.ContainsFunc(periods, func(p choice) bool { return p.Value == text }) {
		days, _ := strconv.Atoi(text)
		return days
	}
	return usualPeriod
}

// series is one line of a plot.
type series struct {
	Label, Class string
	of           func(models.Day) int64
	Points       string // of a polyline, in the plot's view box
}

// plot is a few lines over the days, and the table of their figures.
type plot struct {
	ID, Title string
	Lines     []series
	Most      int64
	From, To  time.Time
	Days      []models.Day // the newest first
}

// Figures are a row of the table.
func (p plot) Figures(d models.Day) []int64 {
	var all []int64
	for _, line := range p.Lines {
		all = append(all, line.of(d))
	}
	return all
}

// The view box of a plot: a unit for each percent of its width and height.
const plotWidth, plotHeight = 100, 30

// plots draw what was counted over a number of days, up to the last that was counted.
func plots(days []models.Day, period int) []plot {
	if len(days) == 0 {
		return nil
	}
	all := []plot{
		{ID: "connections", Title: "Connections", Lines: []series{
			{Label: "Working", Class: "good", of: func(d models.Day) int64 { return d.Active }},
			{Label: "Expired", Class: "bad", of: func(d models.Day) int64 { return d.Expired }},
			{Label: "Waiting for the client", Class: "warn", of: func(d models.Day) int64 { return d.InvalidOAuthClient }},
			{Label: "Not usable", Class: "other", of: func(d models.Day) int64 { return d.InvalidProviderState }}}},
		{ID: "refreshes", Title: "Refreshes", Lines: []series{
			{Label: "Refreshed", Class: "good", of: func(d models.Day) int64 { return d.Refreshed }},
			{Label: "Failed", Class: "bad", of: func(d models.Day) int64 { return d.RefreshFailed }}}},
		{ID: "fetches", Title: "Token fetches", Lines: []series{
			{Label: "Fetched", Class: "fair", of: func(d models.Day) int64 { return d.Fetched }}}},
		{ID: "changes", Title: "Connected and revoked", Lines: []series{
			{Label: "Connected", Class: "good", of: func(d models.Day) int64 { return d.Made }},
			{Label: "Revoked", Class: "warn", of: func(d models.Day) int64 { return d.Revoked }}}},
	}
	last := days[len(days)-1].Day
	newest := slices.Clone(days)
	slices.Reverse(newest)
	for i := range all {
		all[i].Days, all[i].To, all[i].From = newest, last, last.AddDate(0, 0, 1-period)
		all[i].draw(days)
	}
	return all
}

// draw lays the lines out. The axis begins at 0, so that heights can be compared.
func (p *plot) draw(days []models.Day) {
	p.Most = 1
	for _, line := range p.Lines {
		for _, d := range days {
			p.Most = max(p.Most, line.of(d))
		}
	}
	whole := max(p.To.Sub(p.From).Hours(), 24)
	for i, line := range p.Lines {
		var at []string
		for _, d := range days {
			x, y := plotWidth*d.Day.Sub(p.From).Hours()/whole, plotHeight*(1-float64(line.of(d))/float64(p.Most))
			at = append(at, fmt.Sprintf("%.2f,%.2f", x, y))
		}
		if len(at) == 1 { // a single day is a short line, not an invisible point
			x, y, _ := strings.Cut(at[0], ",")
			at = []string{"0," + y, x + "," + y}
		}
		p.Lines[i].Points = strings.Join(at, " ")
	}
}
