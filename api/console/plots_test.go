package console

import (
	"testing"
	"time"

	"github.com/grantd/grantd/models"
)

// Lines are drawn to scale: the first day of the period at the left, the last at the right, the most at the top, nothing at
// the bottom.
func TestPlotsAreDrawnToScale(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }
	days := []models.Day{{Day: day(1), Active: 0}, {Day: day(16), Active: 40}, {Day: day(30), Active: 10}}
	all := plots(days, 30)
	if got, want := all[0].Lines[0].Points, "0.00,30.00 51.72,0.00 100.00,22.50"; got != want || all[0].Most != 40 {
		t.Errorf("the line is %q of %d, want %q", got, all[0].Most, want)
	}
	if figures := all[0].Figures(all[0].Days[0]); figures[0] != 10 || len(figures) != 4 {
		t.Errorf("the newest day's figures are %v", figures)
	}
	if one := plots(days[2:], 30); one[0].Lines[0].Points != "0,0.00 100.00,0.00" {
		t.Errorf("a single day is %q", one[0].Lines[0].Points)
	}
	if none := plots(nil, 30); none != nil {
		t.Errorf("without a day there are %d plots", len(none))
	}
}
