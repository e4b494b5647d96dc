package cli

import (
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

type storeCommand struct {
	List storeList `cmd:"" help:"List the stores."`
	Show storeShow `cmd:"" help:"Show a store and what is set for it."`
	Set  storeSet  `cmd:"" help:"Change what is set for a store."`
}

type (
	storeList struct{}
	storeShow struct {
		Store string `required:"" placeholder:"KEY" help:"The store."`
	}
	storeSet struct {
		Store            string   `required:"" placeholder:"KEY" help:"The store."`
		Create           bool     `help:"Make the store if it is new: set the time zone before the first import."`
		Name             *string  `placeholder:"TEXT" help:"For people."`
		TimeZone         *string  `placeholder:"ZONE" help:"An IANA name, for example Europe/Berlin. Purchases are counted anew by its days."`
		Currency         *string  `placeholder:"CODE" help:"Three letters of ISO 4217, for example EUR."`
		WeekStart        *string  `placeholder:"DAY" help:"The first day of a week in cohorts, for example monday; snapshots keep to Sundays."`
		PurchaseStatuses *string  `placeholder:"LIST" help:"The order states that count as purchases from the next import on, with commas between; nothing: the usual ones."`
		Retention        *string  `placeholder:"LIST" help:"Days that snapshots are kept, for example daily=30,weekly=auto; auto: as long as the installation keeps them."`
		FalseAlarmRate   *float64 `placeholder:"SHARE" help:"The share of unchanged customers that each detector of alarms may report in a year, from 0.005 to 0.95."`
		AlarmsPerWeek    *string  `placeholder:"N|all" help:"How many customers with alarms are within the budget each week, the most certain first; all: all."`
		ChurnHorizonDays *string  `placeholder:"DAYS|auto" help:"Days without an order that count as lost, 7 to 730, from the next re-clustering on; auto: the installation's."`
		Margin           *string  `placeholder:"SHARE|auto" help:"The share of revenue that counts in lifetime value, from the next re-clustering on; auto: the installation's."`
		MonthlyDiscount  *string  `placeholder:"SHARE|auto" help:"The discount of future value a month, from the next re-clustering on; auto: the installation's."`
		Scheduled        string   `enum:"auto,yes,no," default:"" placeholder:"auto|yes|no" help:"Whether the schedule serves the store; auto: as long as it is live, with an order within 90 days."`
	}
)

// storeResult is a store as it is printed.
type storeResult struct {
	Key              string         `json:"key"`
	Name             string         `json:"name"`
	TimeZone         string         `json:"time_zone"`
	Currency         *string        `json:"currency"`
	WeekStart        string         `json:"week_start"`
	PurchaseStatuses []string       `json:"purchase_statuses"` // empty: the usual ones
	Scheduled        *bool          `json:"scheduled"`         // null: as long as it is live
	Live             bool           `json:"live"`              // whether the schedule serves it
	Retention        map[string]int `json:"retention"`         // days by type, where the store has its own
	FalseAlarmRate   float64        `json:"false_alarm_rate"`
	AlarmsPerWeek    *int           `json:"alarms_per_week"`    // null: all
	ChurnHorizonDays *int           `json:"churn_horizon_days"` // null: the installation's, as the next two
	Margin           *float64       `json:"margin"`
	MonthlyDiscount  *float64       `json:"monthly_discount"`
	Customers        int            `json:"customers"`
	FirstOrderAt     *time.Time     `json:"first_order_at"`
	LastOrderAt      *time.Time     `json:"last_order_at"`
	Now              *engine.Date   `json:"now"`
}

func (a *app) storeResult(db *postgres.DB, s *engine.Store) (storeResult, error) {
	r := storeResult{
		Key: s.Key, Name: s.Name, TimeZone: s.Zone.String(), Currency: orNil(s.Currency), WeekStart: strings.ToLower(s.WeekStart.String()),
		PurchaseStatuses: append([]string{}, s.PurchaseStatuses...), Scheduled: s.Scheduled, Live: s.Live(a.now()),
		FalseAlarmRate: s.FalseAlarmRate, AlarmsPerWeek: s.AlarmsPerWeek,
		ChurnHorizonDays: s.Predicts.HorizonDays, Margin: s.Predicts.Margin, MonthlyDiscount: s.Predicts.Discount,
		Customers: s.Customers, FirstOrderAt: orNil(s.FirstAt), LastOrderAt: orNil(s.LastAt),
	}
	if now, ok := s.Now(a.now()); ok {
		r.Now = &now
	}
	own, err := db.RetentionOverrides(a.ctx, s.ID)
	r.Retention = make(map[string]int, len(own))
	for kind, days := range own {
		r.Retention[kind.String()] = days
	}
	return r, err
}

func (r *storeResult) describe(w io.Writer) {
	line := func(name, text string) { fmt.Fprintf(w, "%-18s %s\n", name, text) }
	line("key", r.Key)
	line("name", r.Name)
	line("time zone", r.TimeZone)
	currency, statuses, now := "not set", "the usual ones", "no orders yet"
	if r.Currency != nil {
		currency = *r.Currency
	}
	if len(r.PurchaseStatuses) > 0 {
		statuses = strings.Join(r.PurchaseStatuses, ", ")
	}
	if r.Now != nil {
		now = r.Now.String()
	}
	line("currency", currency)
	line("week starts on", r.WeekStart)
	line("purchase statuses", statuses)
	line("scheduled", r.scheduled())
	line("retention", r.retention())
	alarms := "all"
	if r.AlarmsPerWeek != nil {
		alarms = number(int64(*r.AlarmsPerWeek))
	}
	line("false alarms", fmt.Sprintf("%g of unchanged customers a year and detector", r.FalseAlarmRate))
	line("alarms a week", alarms)
	line("lost after days", ownOr(r.ChurnHorizonDays))
	line("margin", ownOr(r.Margin))
	line("monthly discount", ownOr(r.MonthlyDiscount))
	line("customers", number(int64(r.Customers)))
	line("now", now)
}

func ownOr[T any](own *T) string {
	if own == nil {
		return "the installation's"
	}
	return fmt.Sprint(*own)
}

func (r *storeResult) scheduled() string {
	served := "not served"
	if r.Live {
		served = "served"
	}
	switch {
	case r.Scheduled == nil:
		return "auto, " + served + " at present"
	case *r.Scheduled:
		return "yes"
	default:
		return "no"
	}
}

func (r *storeResult) retention() string {
	var parts []string
	for _, kind := range engine.SnapshotTypes {
		if days, ok := r.Retention[kind.String()]; ok {
			parts = append(parts, fmt.Sprintf("%s %d days", kind, days))
		}
	}
	if parts == nil {
		return "the installation's"
	}
	return strings.Join(append(parts, "else the installation's"), ", ")
}

// Run lists stores.
func (c *storeList) Run(a *app) (err error) {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer closing(s, &err)
	stores, err := s.db.Stores(a.ctx)
	if err != nil {
		return err
	}
	results := []storeResult{}
	for _, store := range stores {
		result, err := a.storeResult(s.db, store)
		if err != nil {
			return err
		}
		results = append(results, result)
	}
	return a.print(map[string][]storeResult{"stores": results}, func(w io.Writer) {
		for i := range results {
			r := &results[i]
			fmt.Fprintf(w, "%-20s %10s customers  %s\n", r.Key, number(int64(r.Customers)), r.TimeZone)
		}
	})
}

// Run shows a store.
func (c *storeShow) Run(a *app) (err error) {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer closing(s, &err)
	store, err := s.db.StoreByKey(a.ctx, c.Store)
	if err != nil {
		return err
	}
	result, err := a.storeResult(s.db, store)
	if err != nil {
		return err
	}
	return a.print(result, result.describe)
}

// Run changes settings.
func (c *storeSet) Run(a *app) (err error) {
	request, err := c.request()
	if err != nil {
		return err
	}
	if err := request.Check(); err != nil { // before the store is made
		return err
	}
	o, err := a.officeWith(jobs.DefaultSettings())
	if err != nil {
		return err
	}
	defer closing(o, &err)
	if c.Create {
		request.Store, err = o.db.EnsureStore(a.ctx, c.Store)
	} else {
		request.Store, err = o.db.StoreByKey(a.ctx, c.Store)
	}
	if err != nil {
		return err
	}
	store, err := o.runner.UpdateStore(a.ctx, request)
	if err != nil {
		return err
	}
	result, err := a.storeResult(o.db, store)
	if err != nil {
		return err
	}
	return a.print(result, result.describe)
}

func (c *storeSet) request() (jobs.SettingsRequest, error) {
	q := jobs.SettingsRequest{TimeZone: c.TimeZone, StoreSettings: postgres.StoreSettings{Name: c.Name, Currency: c.Currency, FalseAlarmRate: c.FalseAlarmRate}}
	if c.WeekStart != nil {
		day, ok := weekday(*c.WeekStart)
		if !ok {
			return q, engine.Errorf(engine.CodeInvalid, "--week-start must be a day of the week such as monday, is %q", *c.WeekStart)
		}
		q.WeekStart = &day
	}
	if c.PurchaseStatuses != nil {
		statuses := []string{}
		if strings.TrimSpace(*c.PurchaseStatuses) != "" {
			statuses = strings.Split(*c.PurchaseStatuses, ",")
		}
		q.PurchaseStatuses = &statuses
	}
	if c.Scheduled != "" {
		q.SetScheduled = true
		if c.Scheduled != "auto" {
			yes := c.Scheduled == "yes"
			q.Scheduled = &yes
		}
	}
	if c.AlarmsPerWeek != nil {
		q.SetAlarmsPerWeek = true
		if *c.AlarmsPerWeek != "all" {
			n, err := strconv.Atoi(*c.AlarmsPerWeek)
			if err != nil {
				return q, engine.Errorf(engine.CodeInvalid, "--alarms-per-week must be a number or all, is %q", *c.AlarmsPerWeek)
			}
			q.AlarmsPerWeek = &n
		}
	}
	var err error
	if q.HorizonDays, q.SetHorizonDays, err = autoOr(c.ChurnHorizonDays, "--churn-horizon-days", strconv.Atoi); err != nil {
		return q, err
	}
	float := func(text string) (float64, error) { return strconv.ParseFloat(text, 64) }
	if q.Margin, q.SetMargin, err = autoOr(c.Margin, "--margin", float); err != nil {
		return q, err
	}
	if q.Discount, q.SetDiscount, err = autoOr(c.MonthlyDiscount, "--monthly-discount", float); err != nil {
		return q, err
	}
	if c.Retention != nil {
		if q.Retention, err = retentionOf(*c.Retention); err != nil {
			return q, err
		}
	}
	if reflect.ValueOf(q).IsZero() && !c.Create {
		return q, engine.Errorf(engine.CodeInvalid, "say what to set, for example --time-zone Europe/Berlin; see quimbi store set --help")
	}
	return q, nil
}

// autoOr reads a setting that is a number or auto; set is false where it was not given, and auto gives nil.
func autoOr[T any](text *string, flag string, parse func(string) (T, error)) (value *T, set bool, err error) {
	if text == nil || *text == "auto" {
		return nil, text != nil, nil
	}
	number, err := parse(*text)
	if err != nil {
		return nil, false, engine.Errorf(engine.CodeInvalid, "%s must be a number or auto, is %q", flag, *text)
	}
	return &number, true, nil
}

// retentionOf reads a list such as daily=30,weekly=auto.
func retentionOf(text string) ([]jobs.Retention, error) {
	var list []jobs.Retention
	for part := range strings.SplitSeq(text, ",") {
		name, days, found := strings.Cut(strings.TrimSpace(part), "=")
		kind, err := engine.ParseSnapshotType(name)
		keep, notNumber := strconv.Atoi(days)
		if !found || err != nil || notNumber != nil && days != "auto" {
			return nil, engine.Errorf(engine.CodeInvalid, "--retention must look like daily=30,weekly=auto, with days for each type of snapshot, is %q", text)
		}
		r := jobs.Retention{Type: kind}
		if notNumber == nil {
			r.KeepDays = &keep
		}
		list = append(list, r)
	}
	return list, nil
}

func weekday(name string) (time.Weekday, bool) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if strings.EqualFold(d.String(), strings.TrimSpace(name)) {
			return d, true
		}
	}
	return 0, false
}
