package main

import (
	"context"
	"flag"

	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/tlscheck"
)

func restCommand() command {
	return command{
		name: "rest", args: "TOKEN_URL", about: "look at the token endpoint of a REST API, as a client that it does not know, and judge the setting of one that it does",
		shares: serverFlags | reportFlags,
		setup: func(fs *flag.FlagSet, shared *common) func(context.Context, *call) error {
			var client apisec.Client
			fs.StringVar(&client.ID, "id", "", "the client's `ID`")
			secretFile := fs.String("secret-file", "", "`FILE` with the client's secret, to be judged")
			fs.TextVar(&client.Style, "style", client.Style, "`HOW` the secret is sent: basic (default), form, json, query")
			fs.TextVar(&client.Grant, "grant", client.Grant, "`GRANT`: client_credentials (default), password, login_info")
			var scopes, needed fileList
			fs.Var(&scopes, "scope", "`SCOPE` that is asked for; repeatable")
			fs.Var(&needed, "needed", "`SCOPE` that the client's work takes; repeatable")
			words := wordsFlag(fs)
			fs.StringVar(&client.Owner, "owner", "", "`WHO` answers for the secret")
			var created, expires audit.Date
			fs.TextVar(&created, "created", created, "`DATE` when the secret was made (2026-01-31)")
			fs.TextVar(&expires, "expires", expires, "`DATE` when it ends")
			fs.Var(port{&client.PlainPort}, "plain-port", "`PORT` where the endpoint may be without TLS (default 80)")
			fs.BoolVar(&client.TryToken, "try", false, "ask for one token with the real secret, over verified TLS")
			return func(ctx context.Context, c *call) error {
				switch {
				case len(c.args) != 1:
					return usagef("which token URL?")
				case client.TryToken && (client.ID == "" || *secretFile == ""):
					return usagef("--try needs --id and --secret-file")
				}
				client.TokenURL, client.Connect = c.args[0], shared.connect
				client.Scopes, client.Needed, client.Context = scopes, needed, *words
				client.Created, client.Expires, client.AsOf = created.Time, expires.Time, shared.asOf.Time
				var err error
				if *secretFile != "" {
					if client.Secret, err = audit.ReadSecret(*secretFile); err != nil {
						return err
					}
					client.Storage, client.Path = apisec.SecretFile, *secretFile
				}
				if client.Roots, client.Known, client.CRLs, err = shared.trust(ctx); err != nil {
					return err
				}
				return c.probe(ctx, []target{{client.Validate().Target, tlscheck.RuleHandshakeFailed, client.Validate, client.Probe}})
			}
		},
	}
}
