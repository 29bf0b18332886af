// Package setting reads what people and servers wrote: settings in JSON, names of enumerations,
// and text that is to be shown. Nothing in it quotes a value, for any of them may be a secret.
package setting
