package providers

// maxRemembered is how much is remembered of one kind for one owner.
const maxRemembered = 200

// remembered is what was read at addresses that tenants name, for each owner by itself:
// one that names many pushes out only its own (T1). It needs a lock around it.
type remembered[T any] map[string]map[string]*T

// at finds what is remembered of an address, or makes it. When the owner has too many,
// another of them is forgotten; who uses that one still has it.
func (r remembered[T]) at(owner, address string, fresh func() *T) *T {
	mine := r[owner]
	if mine == nil {
		mine = map[string]*T{}
		r[owner] = mine
	}
	if found, ok := mine[address]; ok {
		return found
	}
	for other := range mine {
		if len(mine) < maxRemembered {
			break
		}
		delete(mine, other)
	}
	mine[address] = fresh()
	return mine[address]
}
