package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/circlehttps"
	"github.com/connsec/connsec/report"
	"github.com/connsec/connsec/tlscheck"
)

func circleCommand() command {
	return command{
		name: "circle", about: "XMPie Circle sites over HTTPS: check a site's folder, fix it, look at the site as it is served, list the steps",
		sub: []command{circleCheck(), circleFix(), circleProbe(), circlePlan()},
	}
}

// projectFlags declares what Circle is set to.
func projectFlags(fs *flag.FlagSet) func() (circlehttps.Project, error) {
	file := fs.String("project", "", "settings of the Circle project, as YAML in `FILE`")
	var https, securl circlehttps.Setting
	fs.TextVar(&https, "https", https, "the project's Use HTTPS: `on` (default) or off")
	fs.TextVar(&securl, "securl", securl, "the project's SecURL: `on` or off (default: as the site looks)")
	return func() (circlehttps.Project, error) {
		var p circlehttps.Project
		if *file != "" {
			var err error
			if p, err = audit.LoadProject(*file); err != nil {
				return p, err
			}
		}
		if isSet(fs, "https") {
			p.HTTPS = https
		}
		if isSet(fs, "securl") {
			p.SecURL = securl
		}
		return p, nil
	}
}

// site is the folder named by the argument. Long work shows how far it is.
func (c *call) site() (circlehttps.Site, *progress, error) {
	if len(c.args) != 1 {
		return circlehttps.Site{}, nil, usagef("which folder?")
	}
	dir := c.args[0]
	info, err := os.Stat(dir)
	if err != nil {
		return circlehttps.Site{}, nil, err
	}
	if !info.IsDir() {
		return circlehttps.Site{}, nil, usagef("%s is a file; name the site's folder", dir)
	}
	p := c.progress()
	return circlehttps.Site{FS: os.DirFS(dir), Name: dir, Progress: func(files int, bytes int64) {
		if files%64 == 0 {
			p.show(fmt.Sprintf("%d files, %d MB", files, bytes>>20))
		}
	}}, p, nil
}

func circleCheck() command {
	return command{
		name: "circle check", args: "DIR", about: "find what still speaks HTTP in a site's folder, and what is wrong with its xmpcfg.js, xmpcustom.js and sign-in",
		shares: reportFlags,
		setup: func(fs *flag.FlagSet, _ *common) func(context.Context, *call) error {
			project := projectFlags(fs)
			return func(ctx context.Context, c *call) error {
				p, err := project()
				if err != nil {
					return err
				}
				site, bar, err := c.site()
				if err != nil {
					return err
				}
				r, err := site.Check(ctx, p)
				bar.clear()
				if err != nil {
					return err
				}
				r.Findings = append(p.Validate().Findings, r.Findings...)
				return c.finish([]connsec.Report{r})
			}
		},
	}
}

func circleFix() command {
	return command{
		name: "circle fix", args: "DIR", about: "change http to https where that is provably right: as a diff, or in place with the originals kept",
		shares: flagConnect | flagCA,
		setup: func(fs *flag.FlagSet, shared *common) func(context.Context, *call) error {
			project := projectFlags(fs)
			diff := fs.Bool("diff", false, "print the changes as a patch (default)")
			inPlace := fs.Bool("in-place", false, "make the changes")
			keep := fs.String("keep", "", "with --in-place: where the originals go, a `DIR` outside of the site")
			verify := fs.Bool("verify", false, "ask other hosts over HTTPS, and change addresses of those that answer with a valid certificate")
			var hosts fileList
			fs.Var(&hosts, "host", "`HOST` that offers the same over HTTPS; repeatable")
			return func(ctx context.Context, c *call) error {
				if *diff && *inPlace {
					return usagef("give either --diff or --in-place")
				}
				p, err := project()
				if err != nil {
					return err
				}
				site, bar, err := c.site()
				if err != nil {
					return err
				}
				o := circlehttps.FixOptions{Hosts: hosts}
				if *verify {
					roots, _, _, err := shared.trust(ctx)
					if err != nil {
						return err
					}
					o.Verify = circlehttps.VerifyHTTPS(tlscheck.Endpoint{Roots: roots, Connect: shared.connect})
				}
				changes, err := site.Fix(ctx, p, o)
				bar.clear()
				if err != nil {
					return err
				}
				for _, l := range changes.Left {
					c.note("left alone: %s", printable(l.Source.String()+": "+l.URL+": "+l.Reason))
				}
				if !*inPlace {
					return changes.Diff(c.out)
				}
				if len(changes.Files) == 0 {
					fmt.Fprintln(c.out, "nothing to change")
					return nil
				}
				originals := *keep
				if originals == "" {
					originals = filepath.Clean(c.args[0]) + ".before-https-" + time.Now().Format("20060102-150405")
				}
				if err := changes.Apply(c.args[0], originals); err != nil {
					return err
				}
				fmt.Fprintf(c.out, "%d files changed; the originals are in %s\n", len(changes.Files), originals)
				return nil
			}
		},
	}
}

func circleProbe() command {
	return command{
		name: "circle probe", args: "URL", about: "look at a site as it is served: certificate, xmpcfg.js, API, port 80, redirect, HSTS, mixed content",
		shares: serverFlags | reportFlags,
		setup: func(fs *flag.FlagSet, shared *common) func(context.Context, *call) error {
			project := projectFlags(fs)
			folder := fs.String("dir", "", "the `DIR` that was published, to compare with")
			requests := fs.Int("max-requests", 0, "send at most `N` requests to the site (default 40)")
			return func(ctx context.Context, c *call) error {
				if len(c.args) != 1 {
					return usagef("which URL?")
				}
				live, err := liveSite(ctx, shared, project, c.args[0], *folder)
				if err != nil {
					return err
				}
				live.MaxRequests = *requests
				return c.probe(ctx, []target{{c.args[0], tlscheck.RuleHandshakeFailed, live.Validate, live.Probe}})
			}
		},
	}
}

func liveSite(ctx context.Context, shared *common, project func() (circlehttps.Project, error), url, folder string) (circlehttps.Live, error) {
	p, err := project()
	if err != nil {
		return circlehttps.Live{}, err
	}
	roots, known, crls, err := shared.trust(ctx)
	if err != nil {
		return circlehttps.Live{}, err
	}
	live := circlehttps.Live{URL: url, Project: p, Endpoint: tlscheck.Endpoint{Connect: shared.connect, Roots: roots, Known: known, CRLs: crls, AsOf: shared.asOf.Time}}
	if folder != "" {
		live.Site = &circlehttps.Site{FS: os.DirFS(folder), Name: folder}
	}
	return live, nil
}

func circlePlan() command {
	return command{
		name: "circle plan", args: "", about: "the steps of switching a project to HTTPS, or back with --https off, and how far they are; and what Circle covers",
		shares: serverFlags | flagFormat,
		setup: func(fs *flag.FlagSet, shared *common) func(context.Context, *call) error {
			project := projectFlags(fs)
			folder := fs.String("dir", "", "the site's `DIR`: tells how far the steps are")
			url := fs.String("url", "", "the site as it is served, at `URL`: tells the rest")
			return func(ctx context.Context, c *call) error {
				if len(c.args) > 0 {
					return usagef("the folder goes behind --dir")
				}
				p, err := project()
				if err != nil {
					return err
				}
				reports := []connsec.Report{p.Validate()}
				if *folder != "" {
					r, err := circlehttps.Site{FS: os.DirFS(*folder), Name: *folder}.Check(ctx, p)
					if err != nil {
						return err
					}
					reports = append(reports, r)
				}
				if *url != "" {
					live, err := liveSite(ctx, shared, project, *url, *folder)
					if err != nil {
						return err
					}
					r, err := live.Probe(ctx)
					if err != nil {
						return unreached{err}
					}
					reports = append(reports, r)
				}
				steps := circlehttps.Activation(p, reports...)
				if c.common.format == report.JSON {
					return writeJSON(c.out, map[string]any{"steps": steps, "coverage": circlehttps.Coverage()})
				}
				if err := c.textOrJSON(); err != nil {
					return err
				}
				for i, s := range steps {
					fmt.Fprintf(c.out, "%2d. %s [%s]\n", i+1, hang(4, s.Title), s.State)
					fmt.Fprintf(c.out, "    %s\n", hang(4, s.Do))
					fmt.Fprintf(c.out, "    Check: %s\n", hang(11, s.Check))
					for _, f := range s.Findings {
						at := ""
						if f.Source != nil {
							at = f.Source.String() + ": "
						}
						fmt.Fprintf(c.out, "    open: %s\n", hang(10, printable(at+f.Detail)))
					}
				}
				fmt.Fprint(c.out, "\nWhat Circle covers by HTTPS\n\n")
				for _, row := range circlehttps.Coverage() {
					fmt.Fprintf(c.out, "  %-11s %s\n", row.Covered, hang(14, row.What))
					if row.Note != "" {
						fmt.Fprintf(c.out, "              %s\n", hang(14, row.Note))
					}
				}
				return nil
			}
		},
	}
}
