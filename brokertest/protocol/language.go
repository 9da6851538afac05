package protocol

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The language of guards and effects: names, a[b], numbers, ! && || == != + - and
// (c -> a : b), as in Promela. An effect is a list of assignments, separated by semicolons.

// expression computes a value in a state, for a process and a token.
type expression func(s *state, at place) int

// place is whose event it is, and which token it is about.
type place struct{ me, it int }

// assignment changes one variable.
type assignment struct {
	name  string
	index expression // nil for no array
	value expression
}

// state is what the variables are. Those of processes are arrays by process.
type state struct {
	plain  map[string]int
	arrays map[string]map[int]int
	loc    map[int]string
}

func newState() *state {
	return &state{plain: map[string]int{}, arrays: map[string]map[int]int{}, loc: map[int]string{}}
}

func (s *state) at(array string, i int) int { return s.arrays[array][i] }

func (s *state) set(array string, i, value int) {
	if s.arrays[array] == nil {
		s.arrays[array] = map[int]int{}
	}
	s.arrays[array][i] = value
}

func (s *state) location(process int) string {
	if l, ok := s.loc[process]; ok {
		return l
	}
	return idle
}

func (s *state) apply(list []assignment, at place) {
	for _, a := range list {
		value := a.value(s, at)
		switch {
		case a.index != nil:
			s.set(a.name, a.index(s, at), value)
		case strings.HasPrefix(a.name, "my."):
			s.set(a.name, at.me, value)
		default:
			s.plain[a.name] = value
		}
	}
}

var lexeme = regexp.MustCompile(`^(my\.[a-z]+|[A-Za-z_]+|[0-9]+|->|&&|\|\||==|!=|[!()\[\]:+=;-])`)

// parser reads one text.
type parser struct {
	text string
	left []string
}

func lex(text string) (*parser, error) {
	p := &parser{text: text}
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimSpace(rest) {
		found := lexeme.FindString(rest)
		if found == "" {
			return nil, fmt.Errorf("%q cannot be read from %q on", text, rest)
		}
		p.left = append(p.left, found)
		rest = rest[len(found):]
	}
	return p, nil
}

func (p *parser) next() string {
	if len(p.left) == 0 {
		return ""
	}
	return p.left[0]
}

func (p *parser) take(what string) bool {
	if p.next() != what {
		return false
	}
	p.left = p.left[1:]
	return true
}

func (p *parser) want(what string) error {
	if !p.take(what) {
		return fmt.Errorf("%q must have %q before %q", p.text, what, strings.Join(p.left, " "))
	}
	return nil
}

// parseGuard reads a guard; an empty one always holds.
func parseGuard(text string) (expression, error) {
	if text == "" {
		return func(*state, place) int { return 1 }, nil
	}
	p, err := lex(text)
	if err != nil {
		return nil, err
	}
	e, err := p.or()
	if err == nil && p.next() != "" {
		err = fmt.Errorf("%q goes on after its end with %q", text, p.next())
	}
	return e, err
}

// parseEffect reads a list of assignments.
func parseEffect(text string) (list []assignment, err error) {
	p, err := lex(text)
	for err == nil && p.next() != "" {
		var a assignment
		if a, err = p.assignment(); err != nil {
			return nil, err
		}
		list = append(list, a)
		if p.next() != "" {
			err = p.want(";")
		}
	}
	return list, err
}

func (p *parser) assignment() (a assignment, err error) {
	a.name = p.next()
	if !known(a.name) {
		return a, fmt.Errorf("%q assigns to %q, which is no variable", p.text, a.name)
	}
	p.left = p.left[1:]
	if p.take("[") {
		if a.index, err = p.or(); err != nil {
			return a, err
		}
		if err := p.want("]"); err != nil {
			return a, err
		}
	}
	if err := p.want("="); err != nil {
		return a, err
	}
	a.value, err = p.or()
	return a, err
}

func known(name string) bool {
	if mine, ok := strings.CutPrefix(name, "my."); ok {
		return slices.ContainsFunc(own, func(v variable) bool { return v.name == mine })
	}
	is := func(v variable) bool { return v.name == name }
	return slices.ContainsFunc(variables, is) || slices.ContainsFunc(arrays, is)
}

// binary reads operands of one level of binding, from the left.
func (p *parser) binary(operand func() (expression, error), operators map[string]func(a, b int) int) (expression, error) {
	left, err := operand()
	for err == nil {
		do, ok := operators[p.next()]
		if !ok {
			return left, nil
		}
		p.left = p.left[1:]
		var right expression
		if right, err = operand(); err == nil {
			first := left
			left = func(s *state, at place) int { return do(first(s, at), right(s, at)) }
		}
	}
	return nil, err
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (p *parser) or() (expression, error) {
	return p.binary(p.and, map[string]func(a, b int) int{"||": func(a, b int) int { return truth(a != 0 || b != 0) }})
}

func (p *parser) and() (expression, error) {
	return p.binary(p.equal, map[string]func(a, b int) int{"&&": func(a, b int) int { return truth(a != 0 && b != 0) }})
}

func (p *parser) equal() (expression, error) {
	return p.binary(p.sum, map[string]func(a, b int) int{"==": func(a, b int) int { return truth(a == b) }, "!=": func(a, b int) int { return truth(a != b) }})
}

func (p *parser) sum() (expression, error) {
	return p.binary(p.operand, map[string]func(a, b int) int{"+": func(a, b int) int { return a + b }, "-": func(a, b int) int { return a - b }})
}

func (p *parser) operand() (expression, error) {
	switch word := p.next(); {
	case p.take("!"):
		of, err := p.operand()
		return func(s *state, at place) int { return truth(of(s, at) == 0) }, err
	case p.take("("):
		return p.bracket()
	case word == "":
		return nil, fmt.Errorf("%q ends too soon", p.text)
	default:
		return p.name()
	}
}

// bracket reads what stands after an opening one: an expression, or a choice.
func (p *parser) bracket() (expression, error) {
	first, err := p.or()
	if err != nil || p.take(")") {
		return first, err
	}
	if err := p.want("->"); err != nil {
		return nil, err
	}
	yes, err := p.or()
	if err != nil {
		return nil, err
	}
	if err := p.want(":"); err != nil {
		return nil, err
	}
	no, err := p.or()
	if err != nil {
		return nil, err
	}
	return func(s *state, at place) int {
		if first(s, at) != 0 {
			return yes(s, at)
		}
		return no(s, at)
	}, p.want(")")
}

func (p *parser) name() (expression, error) {
	word := p.next()
	p.left = p.left[1:]
	if n, err := strconv.Atoi(word); err == nil {
		return func(*state, place) int { return n }, nil
	}
	if n, ok := constants[word]; ok {
		return func(*state, place) int { return n }, nil
	}
	switch {
	case word == "me":
		return func(_ *state, at place) int { return at.me }, nil
	case word == "it":
		return func(_ *state, at place) int { return at.it }, nil
	case !known(word):
		return nil, fmt.Errorf("%q reads %q, which is no variable", p.text, word)
	case strings.HasPrefix(word, "my."):
		return func(s *state, at place) int { return s.at(word, at.me) }, nil
	case p.take("["):
		index, err := p.or()
		if err != nil {
			return nil, err
		}
		return func(s *state, at place) int { return s.at(word, index(s, at)) }, p.want("]")
	}
	return func(s *state, _ place) int { return s.plain[word] }, nil
}
