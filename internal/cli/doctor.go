package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/localpg"
	"github.com/quimbi/quimbi/web"
)

type doctorCommand struct {
	Settings
	Listen
}

type check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// Run checks what a working installation needs. It changes nothing but that it starts the private server, which makes its
// folder if it is missing.
func (c *doctorCommand) Run(a *app) error {
	var checks []check
	add := func(name, detail string, err error) {
		if err != nil {
			detail = a.explain(err).Message
		}
		checks = append(checks, check{name, err == nil, detail})
	}
	_, err := c.Settings.jobs()
	add("settings", "all within their bounds", err)
	if a.DatabaseURL == "" {
		bin, major, _, err := localpg.Find(a.PGBin)
		add("postgres programs", fmt.Sprintf("version %d in %s", major, bin), err)
		folder, err := a.dataDir()
		if err == nil {
			err = os.MkdirAll(folder, 0o755)
		}
		add("data folder", folder, err)
	}
	c.database(a, add)
	listener, err := c.Listen.open(a.ctx)
	if err == nil {
		err = listener.Close()
	}
	add("address", c.Listen.Listen+" is free", err)
	detail := "its files are built in"
	if _, built := web.Explorer(); !built {
		detail = "its page loads files from the network; make web builds them in"
	}
	add("explorer", detail, nil)
	if err := a.print(map[string][]check{"checks": checks}, func(w io.Writer) {
		for _, c := range checks {
			sign := "ok  "
			if !c.OK {
				sign = "FAIL"
			}
			fmt.Fprintf(w, "%s  %-18s %s\n", sign, c.Name, c.Detail)
		}
	}); err != nil {
		return err
	}
	for _, c := range checks {
		if !c.OK {
			return quiet(exitFailure)
		}
	}
	return nil
}

func (c *doctorCommand) database(a *app, add func(name, detail string, err error)) {
	s, err := a.connect()
	if err != nil {
		add("database", "", err)
		return
	}
	where := "the one of DATABASE_URL answers"
	if s.server != nil {
		where = "private, in " + s.server.Folder()
	}
	add("database", where, nil)
	steps, err := s.db.Migrations(a.ctx, a.log)
	missing := 0
	for _, step := range steps {
		if !step.Applied {
			missing++
		}
	}
	detail := fmt.Sprintf("%d steps applied", len(steps)-missing)
	switch {
	case missing == len(steps):
		detail = "empty; the first command sets it up"
	case err == nil && missing > 0:
		err = engine.Errorf(engine.CodeConflict, "%d of %d steps are missing: run quimbi migrate up", missing, len(steps))
	}
	if err = errors.Join(err, s.close()); err != nil && missing == 0 {
		detail = ""
	}
	add("schema", detail, err)
}
