// Package apisec keeps the secrets of REST API clients from exposure and makes them roll over.
package apisec
