// Package hostfw plans the firewall of a host that lets only HTTPS in, evaluates rule sets that
// were exported from one, and tells from outside whether the evaluation is what happens.
package hostfw
