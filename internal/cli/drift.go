package cli

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/risk"
	"github.com/quimbi/quimbi/engine/watch"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

type driftCommand struct {
	driftFlags
	Store    string `required:"" placeholder:"KEY" help:"The store."`
	Customer string `placeholder:"ID" help:"Only this customer, as the store names it."`
	Since    string `placeholder:"DATE" help:"Moves that ended on this day or later; of the last 30 days of the store unless set, of all days for an export or a customer."`
	Min      string `default:"moderate" enum:"minor,moderate,significant,major" placeholder:"CLASS" help:"This class or worse: minor, moderate (unless set), significant or major."`
	Cause    string `default:"order" enum:"order,time,all" placeholder:"CAUSE" help:"What lay behind the move: order (unless set), time alone, or all."`
	Limit    int    `default:"50" placeholder:"N" help:"How many of the newest the table and --json show, 1 to 1000; 50 unless set."`
	CSV      string `name:"csv" placeholder:"FILE" help:"Write all of them as CSV to this file, - for standard output."`
	NDJSON   string `name:"ndjson" placeholder:"FILE" help:"Write all of them as JSON, one a line, to this file, - for standard output."`
}

// driftResult is what drift prints.
type driftResult struct {
	Store    string       `json:"store"`
	Customer *string      `json:"customer"`
	Since    *engine.Date `json:"since"` // null: of all days
	Min      string       `json:"min"`
	Cause    string       `json:"cause"`
	Total    int          `json:"total"`
	Events   []driftRow   `json:"events"` // the newest, as many as --limit says
}

// driftExport is what it prints after an export to a file.
type driftExport struct {
	Store  string `json:"store"`
	File   string `json:"file"`
	Events int    `json:"events"`
}

// driftRow is a drift event, with all that the API says of one.
type driftRow struct {
	Date            engine.Date     `json:"date"`
	FromDate        engine.Date     `json:"from_date"`
	Customer        string          `json:"customer"`
	Axis            string          `json:"axis"`
	Type            string          `json:"type"`
	Score           float64         `json:"score"`
	Severity        engine.Severity `json:"severity"`
	Velocity        float64         `json:"velocity"`     // a day
	Acceleration    *float64        `json:"acceleration"` // a day and day
	From            namedSegment    `json:"from"`
	To              namedSegment    `json:"to"`
	SegmentChanged  bool            `json:"segment_changed"`
	Direction       *risk.Direction `json:"direction"` // null before outcomes are known
	Cause           string          `json:"cause"`
	ChurnRiskChange *float64        `json:"churn_risk_change"`
	Overall         *float64        `json:"overall"` // over all axes
	RobustZ         *float64        `json:"robust_z"`
	Percentile      *float64        `json:"percentile"`
	Excess          *float64        `json:"excess"`
	Anomaly         bool            `json:"anomaly"`
	Anomalies       []string        `json:"anomalies"` // AXIS, OVERALL: what of it is anomalous
	ModelVersion    int             `json:"model_version"`
	DetectedAt      time.Time       `json:"detected_at"`
}

// driftDays is how far back a table looks unless told.
const driftDays = 30

// Run lists drift events or exports them.
func (c *driftCommand) Run(a *app) (err error) {
	since, err := c.check(a)
	if err != nil {
		return err
	}
	o, err := a.officeWith(jobs.DefaultSettings())
	if err != nil {
		return err
	}
	defer closing(o, &err)
	store, err := o.db.StoreByKey(a.ctx, c.Store)
	if err != nil {
		return err
	}
	export := c.CSV + c.NDJSON
	if now, ok := store.Now(a.now()); ok && since == nil && c.Customer == "" && export == "" {
		from := now - driftDays
		since = &from
	}
	list := &driftList{app: a, db: o.db, store: store, level: c.level(), models: map[int]*engine.Model{}, spreads: map[postgres.SpreadRef]watch.Spread{}}
	if list.query, err = c.query(since); err != nil {
		return err
	}
	if c.Customer != "" {
		found, err := o.runner.FindCustomer(a.ctx, store, c.Customer)
		if err != nil {
			return err
		}
		list.customer = &postgres.CustomerRef{StoreID: store.ID, CustomerID: found.ID}
	}
	if export != "" {
		return c.export(a, list, export)
	}
	result := driftResult{Store: store.Key, Since: since, Min: c.Min, Cause: c.Cause, Events: []driftRow{}}
	if c.Customer != "" {
		result.Customer = &c.Customer
	}
	if result.Total, err = list.count(); err != nil {
		return err
	}
	err = list.each(c.Limit, func(row *driftRow) error {
		result.Events = append(result.Events, *row)
		return nil
	})
	if err != nil {
		return err
	}
	return a.print(result, result.describe)
}

func (c *driftCommand) check(a *app) (*engine.Date, error) {
	if c.CSV != "" && c.NDJSON != "" {
		return nil, engine.Errorf(engine.CodeInvalid, "--csv and --ndjson each write a file of their own: give one of them")
	}
	if a.JSON && c.CSV+c.NDJSON == "-" {
		return nil, engine.Errorf(engine.CodeInvalid, "standard output holds either the export or the one object of --json: name a file, or leave --json out")
	}
	if c.Limit < 1 || c.Limit > 1000 {
		return nil, engine.Errorf(engine.CodeInvalid, "--limit must be from 1 to 1000, is %d; --csv and --ndjson write all of them", c.Limit)
	}
	return day(c.Since, "since")
}

func (c *driftCommand) query(since *engine.Date) (postgres.DriftQuery, error) {
	q := postgres.DriftQuery{MinSeverity: engine.Severity(strings.ToUpper(c.Min)), From: postgres.NoDate, To: postgres.EndOfDates}
	if since != nil {
		q.From = *since
	}
	if c.Cause != "all" {
		byOrder := c.Cause == "order"
		q.ByOrder = &byOrder
	}
	return q, nil
}

// driftList reads the events of a store, or of one of its customers, page by page.
type driftList struct {
	app      *app
	db       *postgres.DB
	store    *engine.Store
	customer *postgres.CustomerRef // nil: all
	level    engine.Level          // of the drift that is stored
	query    postgres.DriftQuery
	models   map[int]*engine.Model
	spreads  map[postgres.SpreadRef]watch.Spread
}

func (l *driftList) count() (int, error) {
	if l.customer != nil {
		return l.db.CountCustomerDrift(l.app.ctx, *l.customer, l.query)
	}
	return l.db.CountDriftFeed(l.app.ctx, []int32{l.store.ID}, l.query)
}

// driftPage is how many events are in memory at a time.
const driftPage = 1000

// each visits at most limit events, newest first; 0: all.
func (l *driftList) each(limit int, visit func(*driftRow) error) error {
	q, left := l.query, limit
	for {
		q.Limit = driftPage
		if limit > 0 {
			q.Limit = min(driftPage, left)
		}
		rows, err := l.page(q)
		if err != nil {
			return err
		}
		around, err := l.around(rows)
		if err != nil {
			return err
		}
		for _, e := range rows {
			row, err := l.row(e, around[e.ID])
			if err != nil {
				return err
			}
			if err := visit(row); err != nil {
				return err
			}
		}
		left -= len(rows)
		if len(rows) < q.Limit || limit > 0 && left == 0 {
			return nil
		}
		last := rows[len(rows)-1]
		q.After = &postgres.DriftCursor{To: last.To, ID: last.ID, StoreID: l.store.ID}
	}
}

func (l *driftList) page(q postgres.DriftQuery) ([]*postgres.ListedEvent, error) {
	if l.customer == nil {
		return l.db.DriftFeed(l.app.ctx, []int32{l.store.ID}, q)
	}
	found, err := l.db.CustomerDrift(l.app.ctx, []postgres.CustomerRef{*l.customer}, q)
	return found[*l.customer], err
}

// around gives the snapshots around the events of a page.
func (l *driftList) around(rows []*postgres.ListedEvent) (map[int64]postgres.EventSnapshots, error) {
	events := make([]*engine.DriftEvent, len(rows))
	for i, e := range rows {
		events[i] = &e.DriftEvent
	}
	return l.db.EventSnapshots(l.app.ctx, events)
}

func (l *driftList) model(version int) (*engine.Model, error) {
	if m := l.models[version]; m != nil {
		return m, nil
	}
	stored, err := l.db.Model(l.app.ctx, l.store.ID, version)
	if err != nil {
		return nil, err
	}
	l.models[version] = stored.Model
	return stored.Model, nil
}

func (l *driftList) row(e *postgres.ListedEvent, around postgres.EventSnapshots) (*driftRow, error) {
	m, err := l.model(e.ModelVersion)
	if err != nil {
		return nil, err
	}
	segment := func(index int) namedSegment {
		s := &m.Axes[e.Axis].Segments[index]
		return namedSegment{s.Path, s.Name}
	}
	view := model.DriftEvent{DriftEvent: &e.DriftEvent}
	row := &driftRow{
		Date: e.To, FromDate: e.From, Customer: e.Customer.Key, Axis: engine.Axes[e.Axis].Key, Type: e.Type.String(), Score: e.Score,
		Severity: view.Severity(), Velocity: e.Velocity(), From: segment(e.FromSegment), To: segment(e.ToSegment), SegmentChanged: view.SegmentChanged(),
		Direction: view.Direction(), Cause: view.Cause().String(), ChurnRiskChange: model.ChurnRiskChange(around.From, around.To),
		Overall: e.Overall, RobustZ: e.RobustZ, Anomaly: view.IsAnomaly(), Anomalies: []string{}, ModelVersion: e.ModelVersion, DetectedAt: e.DetectedAt.UTC(),
	}
	for _, scope := range view.Anomalies() {
		row.Anomalies = append(row.Anomalies, scope.String())
	}
	if around.Before != nil && around.From != nil && around.To != nil {
		series := model.NewSeries(nil, m, l.level, e.Type, []*engine.Snapshot{around.Before, around.From, around.To})
		row.Acceleration = series.AccelerationOn(e.Axis)
	}
	spread, err := l.spread(postgres.SpreadRef{StoreID: l.store.ID, Type: e.Type, Date: e.To})
	if err != nil || spread == nil || e.Overall == nil {
		return row, err
	}
	below, excess := spread.Below(*e.Overall), *e.Overall-spread.Median()
	row.Percentile, row.Excess = &below, &excess
	return row, nil
}

func (l *driftList) spread(ref postgres.SpreadRef) (watch.Spread, error) {
	spread, known := l.spreads[ref]
	if known {
		return spread, nil
	}
	found, err := l.db.Spreads(l.app.ctx, []postgres.SpreadRef{ref})
	l.spreads[ref] = found[ref]
	return found[ref], err
}

// export writes all events, a page in memory at a time. A failure leaves no half of a file behind.
func (c *driftCommand) export(a *app, list *driftList, path string) error {
	if path == "-" {
		_, err := c.write(a.out, list)
		return err
	}
	n := 0
	err := writeFile(path, "--csv or --ndjson", func(out io.Writer) (err error) {
		n, err = c.write(out, list)
		return err
	})
	if err != nil {
		return err
	}
	return a.print(driftExport{list.store.Key, path, n}, func(w io.Writer) {
		fmt.Fprintf(w, "%s drift events of %s are in %s\n", number(int64(n)), list.store.Key, path)
	})
}

var driftColumns = []string{
	"date", "from_date", "customer", "axis", "type", "score", "severity", "velocity", "acceleration", "from_path", "from_name", "to_path", "to_name",
	"segment_changed", "direction", "cause", "churn_risk_change", "overall", "robust_z", "percentile", "excess", "anomaly", "anomalies", "model_version",
	"detected_at",
}

func (c *driftCommand) write(out io.Writer, list *driftList) (n int, err error) {
	buffer := bufio.NewWriter(out)
	if c.NDJSON != "" {
		encoder := json.NewEncoder(buffer)
		encoder.SetEscapeHTML(false)
		err = list.each(0, func(row *driftRow) error {
			n++
			return encoder.Encode(row)
		})
		return n, errors.Join(err, buffer.Flush())
	}
	w := csv.NewWriter(buffer)
	if err := w.Write(driftColumns); err != nil {
		return 0, err
	}
	err = list.each(0, func(row *driftRow) error {
		n++
		return w.Write(row.fields())
	})
	w.Flush()
	return n, errors.Join(err, w.Error(), buffer.Flush())
}

func (r *driftRow) fields() []string {
	optional := func(v *float64) string {
		if v == nil {
			return ""
		}
		return decimal(*v)
	}
	return []string{
		r.Date.String(), r.FromDate.String(), r.Customer, r.Axis, r.Type, decimal(r.Score), string(r.Severity), decimal(r.Velocity), optional(r.Acceleration),
		r.From.Path, r.From.Name, r.To.Path, r.To.Name, strconv.FormatBool(r.SegmentChanged), r.direction(), r.Cause, optional(r.ChurnRiskChange),
		optional(r.Overall), optional(r.RobustZ), optional(r.Percentile), optional(r.Excess), strconv.FormatBool(r.Anomaly), strings.Join(r.Anomalies, " "),
		strconv.Itoa(r.ModelVersion), r.DetectedAt.Format(time.RFC3339),
	}
}

// direction is empty before outcomes are known.
func (r *driftRow) direction() string {
	if r.Direction == nil {
		return ""
	}
	return string(*r.Direction)
}

func (r *driftResult) describe(w io.Writer) {
	span := ""
	if r.Since != nil {
		span = " since " + r.Since.String()
	}
	causes := map[string]string{"order": "by orders", "time": "by time alone", "all": "by orders or time"}
	fmt.Fprintf(w, "%s: %s drift events%s, %s or worse, %s\n", r.Store, number(int64(r.Total)), span, r.Min, causes[r.Cause])
	axes := map[string]string{}
	for i := range engine.Axes {
		axes[engine.Axes[i].Key] = engine.Axes[i].Name
	}
	for i := range r.Events {
		e := &r.Events[i]
		mark := " "
		if e.Anomaly {
			mark = "!"
		}
		fmt.Fprintf(w, "  %s %s %-12s %-22s %.2f %-11s %-9s %s -> %s\n", e.Date, mark, e.Customer, axes[e.Axis], e.Score,
			strings.ToLower(string(e.Severity)), strings.ToLower(e.direction()), e.From.Name, e.To.Name)
	}
	if r.Total > len(r.Events) {
		fmt.Fprintf(w, "  %s more: --limit shows more of them, --csv and --ndjson write all\n", number(int64(r.Total-len(r.Events))))
	}
	for i := range r.Events {
		if r.Events[i].Anomaly {
			fmt.Fprintln(w, "! out of the ordinary: in itself, or for the customer with what moved all customers taken off")
			return
		}
	}
}
