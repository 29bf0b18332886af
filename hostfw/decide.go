package hostfw

// decide says what a program does with one packet. It walks the rules the way that the kernel
// does, and shares nothing with the evaluation of boxes (evaluate.go), which the tests compare
// with it.
func (p *program) decide(packet Packet) Decision {
	panic("to be written")
}
