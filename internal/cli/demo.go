package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/synth"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

const (
	demoStore = "demo"
	demoWeeks = 26
)

type demoCommand struct {
	Settings
	Listen
	Customers int    `default:"4000" help:"How many customers the shop has."`
	Seed      uint64 `default:"42" help:"The seed of the shop and of the clustering."`
	NoServe   bool   `help:"End after the summary."`
}

// stage is a part of the demonstration and how long it took.
type stage struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// stopwatch notes stages, one after another.
type stopwatch struct {
	now    func() time.Time
	last   time.Time
	stages []stage
}

func (s *stopwatch) lap(name string) {
	now := s.now()
	s.stages = append(s.stages, stage{name, seconds(s.last, now)})
	s.last = now
}

// Run makes the shop, shows what came out and serves it.
func (c *demoCommand) Run(a *app) (err error) {
	var listener net.Listener
	if serving := !c.NoServe && !a.JSON; serving {
		if listener, err = c.Listen.open(a.ctx); err != nil {
			return err
		}
		defer listener.Close()
	}
	if c.Customers < 100 {
		return engine.Errorf(engine.CodeInvalid, "--customers must be at least 100, is %d", c.Customers)
	}
	watch := &stopwatch{now: a.now, last: a.now()}
	a.say("Starting the database ...")
	o, err := a.office(&c.Settings)
	if err != nil {
		return err
	}
	defer closing(o, &err)
	watch.lap("database")
	s := serving{listener: listener, work: true}
	if listener != nil {
		if s.config.Access, err = a.access(o, AccessSettings{}, listener); err != nil {
			return err
		}
	}
	result, err := c.make(a, o, watch)
	if err != nil {
		return err
	}
	if err := a.print(result, result.describe); err != nil || listener == nil {
		return err
	}
	return a.serve(o, s)
}

func (c *demoCommand) make(a *app, o *office, watch *stopwatch) (*summary, error) {
	options := synth.Options{Seed: c.Seed, Customers: c.Customers, End: engine.DateOf(a.now(), time.UTC) - 1}
	a.say("Making a quilting shop of %s customers ...", number(int64(c.Customers)))
	shop := synth.Shop(options)
	watch.lap("shop")
	a.say("Importing its orders ...")
	source := fmt.Sprintf("synthetic shop of %d customers to %s, seed %d", c.Customers, options.End, c.Seed)
	store, err := freshStore(a, o, source)
	if err != nil {
		return nil, err
	}
	imported, err := o.queue.Import(a.ctx, store, []jobs.Source{{Name: source, Open: func() (io.ReadCloser, error) { return orderFile(shop), nil }}}, ingest.Options{}, nil, nil)
	if err != nil {
		return nil, err
	}
	if store, err = o.db.StoreByKey(a.ctx, demoStore); err != nil {
		return nil, err
	}
	watch.lap("import")
	a.say("Fitting %d axes ...", engine.AxisCount)
	_, fitted, err := a.recluster(o, jobs.ReclusterRequest{Store: store, Params: o.settings.Params, Seed: &c.Seed, Trigger: engine.TriggerCLI})
	if err != nil {
		return nil, err
	}
	watch.lap("clustering")
	a.say("Replaying %d weekly snapshots ...", demoWeeks)
	now, _ := store.Now(a.now())
	last := now - engine.Date(now.Weekday())
	replayed, err := a.replay(o, jobs.ReplayRequest{
		Store: store, Type: engine.Weekly, From: last - 7*(demoWeeks-1), To: last + 1, Conflict: jobs.ConflictReplace, Trigger: engine.TriggerCLI,
	})
	if err != nil {
		return nil, err
	}
	watch.lap("snapshots and drift")
	result, err := a.summarise(o, store, fitted.ModelVersion, now, last)
	if err != nil {
		return nil, err
	}
	watch.lap("summary")
	result.Imported, result.Changed, result.Snapshots, result.DriftEvents = imported.Imported, imported.Changed, replayed.Rows, replayed.Events
	result.Planted, result.Stages = planted(shop), watch.stages
	return result, nil
}

// freshStore gives the store of the demonstration. Orders of a shop of another day or size would mix with the new ones,
// so such a store is removed first.
func freshStore(a *app, o *office, source string) (*engine.Store, error) {
	store, err := o.db.EnsureStore(a.ctx, demoStore)
	if err != nil {
		return nil, err
	}
	imports, err := o.db.Runs(a.ctx, postgres.RunQuery{StoreID: store.ID, Kinds: []engine.RunKind{engine.RunImport}, Window: postgres.Window{Limit: 1}})
	if err != nil {
		return nil, err
	}
	if len(imports) == 0 && store.LastAt.IsZero() {
		return store, nil
	}
	if len(imports) == 1 {
		var before jobs.Import
		if err := json.Unmarshal(imports[0].Request, &before); err == nil && before.Source == source {
			return store, nil
		}
	}
	if err := o.db.ForgetStore(a.ctx, store.ID); err != nil {
		return nil, err
	}
	return o.db.EnsureStore(a.ctx, demoStore)
}

// orderFile gives a shop's orders as the file that a shop would export.
func orderFile(shop *synth.Result) io.ReadCloser {
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(ingest.WriteNormalised(writer, "", records(shop))) }()
	return reader
}

func records(shop *synth.Result) iter.Seq2[ingest.Record, error] {
	return func(yield func(ingest.Record, error) bool) {
		for customer, line := range shop.Lines() {
			if !yield(ingest.Record{
				Store: demoStore, Customer: customer, OrderID: line.OrderKey, OrderKey: line.OrderKey, LineNo: line.Number, OrderedAt: line.OrderedAt, HasTime: true,
				SKU: line.SKU, Category: line.Category, Quantity: line.Quantity, NetCents: line.NetCents, DiscountCents: line.DiscountCents, HasDiscount: true,
				RefundCents: line.RefundCents, RefundedAt: line.RefundedAt, KnowsReturns: true,
			}, nil) {
				return
			}
		}
	}
}

// planted counts what was put into the shop.
func planted(shop *synth.Result) map[string]map[string]int {
	counts := map[string]map[string]int{"archetypes": {}, "changes": {}}
	for _, c := range shop.Customers {
		counts["archetypes"][c.Archetype]++
		if c.Change != nil {
			counts["changes"][c.Change.Kind]++
		}
	}
	return counts
}
