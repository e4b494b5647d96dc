package cli

import (
	"fmt"
	"io"

	"github.com/quimbi/quimbi/internal/postgres"
)

type migrateCommand struct {
	Up     migrateUp     `cmd:"" help:"Apply all steps that are missing."`
	Down   migrateDown   `cmd:"" help:"Take the newest step back, with the data that it holds."`
	Status migrateStatus `cmd:"" help:"List the steps."`
}

type (
	migrateUp     struct{}
	migrateDown   struct{}
	migrateStatus struct{}
)

// Run applies steps.
func (migrateUp) Run(a *app) error {
	return a.migrate(func(s *session) error { return s.db.Migrate(a.ctx, a.log) })
}

// Run takes a step back.
func (migrateDown) Run(a *app) error {
	return a.migrate(func(s *session) error { return s.db.MigrateDown(a.ctx, a.log) })
}

// Run lists the steps.
func (migrateStatus) Run(a *app) error {
	return a.migrate(func(*session) error { return nil })
}

func (a *app) migrate(change func(*session) error) (err error) {
	s, err := a.connect()
	if err != nil {
		return err
	}
	defer closing(s, &err)
	if err := change(s); err != nil {
		return err
	}
	steps, err := s.db.Migrations(a.ctx, a.log)
	if err != nil {
		return err
	}
	return a.print(map[string][]postgres.Migration{"migrations": steps}, func(w io.Writer) {
		for _, step := range steps {
			state := "missing"
			if step.Applied {
				state = "applied " + step.AppliedAt.Format("2006-01-02 15:04")
			}
			fmt.Fprintf(w, "%-28s %s\n", step.Name, state)
		}
	})
}
