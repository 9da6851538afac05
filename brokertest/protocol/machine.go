package protocol

import (
	"fmt"
	"sync"
)

// compiled is a row whose guard and effect were read.
type compiled struct {
	Row
	guard  expression
	effect []assignment
}

type compiledPromise struct {
	Promise
	holds expression
}

// machine is a table that was read.
type machine struct {
	rows     []compiled
	promises []compiledPromise
}

// compileTable reads the table, once.
var compileTable = sync.OnceValues(func() (*machine, error) { return compile(Table) })

// compile reads a table. Its error names the row that cannot be read.
func compile(table []Row) (*machine, error) {
	m := &machine{}
	for i, r := range table {
		c := compiled{Row: r}
		var err error
		if c.guard, err = parseGuard(r.Guard); err == nil {
			c.effect, err = parseEffect(r.Effect)
		}
		if err != nil {
			return nil, fmt.Errorf("row %d, %s: %w", i+1, r.Event, err)
		}
		m.rows = append(m.rows, c)
	}
	for _, p := range Promises {
		holds, err := parseGuard(p.Holds)
		if err != nil {
			return nil, fmt.Errorf("the promise %s: %w", p.Says, err)
		}
		m.promises = append(m.promises, compiledPromise{p, holds})
	}
	return m, nil
}
