package audit

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/circlehttps"
	"github.com/connsec/connsec/tlscheck"
)

// Circle is an item of the section circle: the folder of an XMPie Circle site, the site as it
// is served, or both.
type Circle struct {
	Dir     string              `yaml:"dir"`     // the site's folder
	URL     string              `yaml:"url"`     // the https address it is served at
	Connect string              `yaml:"connect"` // ADDR[:PORT] for url
	Project circlehttps.Project `yaml:"project"` // what Circle is set to

	Source connsec.Position `yaml:"-"` // where the item stands
}

func (c Circle) check(d *Deployment, env *environment) (check, error) {
	if c.Dir == "" && c.URL == "" {
		return check{}, errors.New("give dir, url, or both")
	}
	var site *circlehttps.Site
	subject := c.URL
	if c.Dir != "" {
		dir := d.path(c.Dir)
		if err := isFolder(dir); err != nil {
			return check{}, err
		}
		site = &circlehttps.Site{FS: os.DirFS(dir), Name: c.Dir, Now: env.Now}
		subject = c.Dir
	}
	live := circlehttps.Live{URL: c.URL, Project: c.Project, Site: site, Endpoint: tlscheck.Endpoint{
		Connect: c.Connect, Roots: env.roots, Known: env.known, CRLs: env.crls, AsOf: env.asOf, Dialer: env.Dialer, Resolver: env.Resolver, Now: env.Now,
	}}
	root := circlehttps.RuleConfigMissing
	if c.URL != "" {
		root = tlscheck.RuleHandshakeFailed
	}
	return check{subject: subject, source: c.Source, root: root, validate: c.Project.Validate, run: func(ctx context.Context) (connsec.Report, error) {
		r := c.Project.Validate()
		if site != nil {
			folder, err := site.Check(ctx, c.Project)
			if err != nil {
				return connsec.Report{}, err
			}
			for i, f := range folder.Findings {
				if f.Source != nil {
					folder.Findings[i].Source = inFolder(c.Dir, *f.Source)
				}
			}
			r.Findings = append(r.Findings, folder.Findings...)
		}
		if c.URL != "" {
			served, err := live.Probe(ctx)
			if err != nil {
				return connsec.Report{}, err
			}
			r.Findings = append(r.Findings, served.Findings...)
		}
		return r, nil
	}}, nil
}

// inFolder makes a position within a site one that can be opened from the deployment file.
func inFolder(dir string, p connsec.Position) *connsec.Position {
	p.File = dir + "/" + p.File
	return &p
}

func isFolder(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return fileError(dir, err)
	case !info.IsDir():
		return fmt.Errorf("%s: is a file; name the site's folder", dir)
	}
	return nil
}

// LoadProject reads a file that holds nothing but the settings of a Circle project.
func LoadProject(path string) (circlehttps.Project, error) {
	data, err := readBounded(path, maxFile)
	if err != nil {
		return circlehttps.Project{}, err
	}
	var p circlehttps.Project
	return p, decode(path, data, &p)
}
