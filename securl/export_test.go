package securl

// SmallChunks makes a list be worked on in pieces of n bytes.
func SmallChunks(l List, n int) List {
	l.chunk = n
	return l
}
