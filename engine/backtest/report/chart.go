package report

import (
	"bytes"
	"fmt"
	"html"
	"math"

	"github.com/quimbi/quimbi/engine/backtest"
)

// Charts are SVG 1.1 of a fixed size. Colours are told apart by those who see no red or green (Okabe and Ito 2008).
const (
	blue, orange, green, purple, red, sky = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"
	ink, faint, paper                     = "#222222", "#CCCCCC", "#FFFFFF"
	textSize                              = 13
)

var colours = []string{blue, orange, green, purple, red, sky}

// drawing is an SVG that is being written.
type drawing struct {
	bytes.Buffer
}

func newDrawing(width, height int, title string) *drawing {
	d := &drawing{}
	d.put(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="%d" role="img">`,
		width, height, width, height, textSize)
	d.put(`<title>%s</title><rect width="%d" height="%d" fill="%s"/>`, html.EscapeString(title), width, height, paper)
	return d
}

func (d *drawing) end() []byte {
	d.put("</svg>")
	return d.Bytes()
}

func (d *drawing) put(format string, args ...any) {
	fmt.Fprintf(&d.Buffer, format+"\n", args...)
}

func (d *drawing) text(x, y float64, anchor, format string, args ...any) {
	d.put(`<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>`, x, y, anchor, ink, html.EscapeString(fmt.Sprintf(format, args...)))
}

func (d *drawing) line(x1, y1, x2, y2 float64, colour string, dashes string) {
	d.put(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-dasharray="%s"/>`, x1, y1, x2, y2, colour, dashes)
}

// frame is a plot's area with a scale on each side.
type frame struct {
	left, top, width, height float64
	maxX, maxY               float64
}

func (f *frame) x(v float64) float64 { return f.left + f.width*v/f.maxX }
func (f *frame) y(v float64) float64 { return f.top + f.height*(1-v/f.maxY) }

// grid draws lines and numbers, and the names of both sides.
func (f *frame) grid(d *drawing, stepX, stepY float64, nameX, nameY string) {
	for v := 0.0; v <= f.maxX+1e-9; v += stepX {
		d.line(f.x(v), f.top, f.x(v), f.top+f.height, faint, "")
		d.text(f.x(v), f.top+f.height+18, "middle", "%.3g", v)
	}
	for v := 0.0; v <= f.maxY+1e-9; v += stepY {
		d.line(f.left, f.y(v), f.left+f.width, f.y(v), faint, "")
		d.text(f.left-8, f.y(v)+4, "end", "%.3g", v)
	}
	d.text(f.left+f.width/2, f.top+f.height+38, "middle", "%s", nameX)
	x, y := f.left-44, f.top+f.height/2
	d.put(`<text x="%.1f" y="%.1f" text-anchor="middle" fill="%s" transform="rotate(-90 %.1f %.1f)">%s</text>`, x, y, ink, x, y, html.EscapeString(nameY))
}

func (f *frame) curve(d *drawing, points []backtest.Point, colour string) {
	d.put(`<polyline fill="none" stroke="%s" stroke-width="2" points="`, colour)
	for _, p := range points {
		d.put("%.1f,%.1f", f.x(p.Recall), f.y(p.Precision))
	}
	d.put(`"/>`)
}

// leadChart shows each detector's lead with its interval.
func leadChart(r *backtest.Result) []byte {
	const row, left = 26, 200
	var rows []*backtest.Detector
	most := 10.0
	for i := range r.Detectors {
		c := r.Detectors[i].Class(backtest.CadenceAll)
		if c.Lead == nil {
			continue
		}
		rows = append(rows, &r.Detectors[i])
		most = math.Max(most, c.Lead.High)
	}
	most = 10 * math.Ceil(most/10)
	f := frame{left: left, top: 40, width: 420, height: float64(row * len(rows)), maxX: most, maxY: 1}
	d := newDrawing(680, int(f.top+f.height)+60, "Lead over the rule by detector")
	d.text(20, 24, "start", "Days earlier than silent >= %d, at the rule's own precision, with 95 %% intervals", r.RuleDays)
	for v := 0.0; v <= most; v += 10 {
		d.line(f.x(v), f.top, f.x(v), f.top+f.height, faint, "")
		d.text(f.x(v), f.top+f.height+18, "middle", "%g", v)
	}
	for n, detector := range rows {
		lead := detector.Class(backtest.CadenceAll).Lead
		y := f.top + float64(n*row)
		d.text(left-10, y+17, "end", "%s", detector.Name)
		d.put(`<rect x="%.1f" y="%.1f" width="%.1f" height="%d" fill="%s"/>`, f.x(0), y+4, f.x(lead.Value)-f.x(0), row-8, sky)
		d.put(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="2"/>`, f.x(lead.Low), y+row/2, f.x(lead.High), y+row/2, ink)
	}
	d.text(f.left+f.width/2, f.top+f.height+40, "middle", "mean days over churn, 0 where the rule was earlier")
	return d.end()
}

// reliabilityChart shows what came of predictions, against the line on which both are the same.
func reliabilityChart(curves map[string]*backtest.Reliability, names []string) []byte {
	f := frame{left: 70, top: 40, width: 360, height: 360, maxX: 1, maxY: 1}
	d := newDrawing(680, 460, "Reliability of the churn risk")
	d.text(20, 24, "start", "Predicted churn risk against what came of it; areas of dots are numbers of predictions")
	f.grid(d, 0.2, 0.2, "predicted", "observed")
	d.line(f.x(0), f.y(0), f.x(1), f.y(1), ink, "4 4")
	for n, name := range names {
		r, colour := curves[name], colours[n]
		var points []backtest.Point
		for _, b := range r.Bins {
			points = append(points, backtest.Point{Recall: b.Predicted, Precision: b.Observed})
		}
		f.curve(d, points, colour)
		for _, b := range r.Bins {
			d.put(`<circle cx="%.1f" cy="%.1f" r="%.1f" fill="%s" fill-opacity="0.5"/>`,
				f.x(b.Predicted), f.y(b.Observed), 2+12*math.Sqrt(float64(b.Count)/float64(r.Count)), colour)
		}
		y := f.top + 16 + 54*float64(n)
		d.put(`<rect x="456" y="%.1f" width="12" height="12" fill="%s"/>`, y-10, colour)
		d.text(474, y, "start", "%s", name)
		d.text(474, y+18, "start", "Brier %.3f, ECE %.3f", r.Brier, r.ECE)
	}
	return d.end()
}

// precisionRecallChart shows some detectors' precision over recall.
func precisionRecallChart(r *backtest.Result, names []string) []byte {
	f := frame{left: 70, top: 40, width: 360, height: 360, maxX: 1, maxY: 1}
	d := newDrawing(680, 460, "Precision and recall by detector")
	d.text(20, 24, "start", "Precision over recall, all customers on all days; dashes: the share of churn")
	f.grid(d, 0.2, 0.2, "recall", "precision")
	d.line(f.x(0), f.y(r.BaseRate), f.x(1), f.y(r.BaseRate), ink, "4 4")
	for n, name := range names {
		detector := r.Detector(name)
		f.curve(d, detector.Curve, colours[n])
		y := f.top + 16 + 40*float64(n)
		d.put(`<rect x="456" y="%.1f" width="12" height="12" fill="%s"/>`, y-10, colours[n])
		d.text(474, y, "start", "%s", name)
		if area := detector.Class(backtest.CadenceAll).PRAUC; area != nil {
			d.text(474, y+18, "start", "area %.3f", *area)
		}
	}
	return d.end()
}
