package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCommand has a shell complete commands and flags. The shells ask "completion
// words" each time, so that there is one description of the command line: kong's.
type completionCommand struct {
	Bash  bashCommand  `cmd:"" help:"Print a script for bash: source <(grantd completion bash)"`
	Zsh   zshCommand   `cmd:"" help:"Print a script for zsh: source <(grantd completion zsh), after compinit."`
	Fish  fishCommand  `cmd:"" help:"Print a script for fish: grantd completion fish | source"`
	Words wordsCommand `cmd:"" hidden:"" help:"Print what may stand in place of the last word."`
}

type (
	bashCommand struct{}
	zshCommand  struct{}
	fishCommand struct{}
)

func (bashCommand) Run(c console) error {
	_, err := io.WriteString(c.out, `_grantd() {
  local IFS=$'\n'
  COMPREPLY=($(grantd completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _grantd grantd
`)
	return err
}

func (zshCommand) Run(c console) error {
	_, err := io.WriteString(c.out, `_grantd() {
  local -a found
  found=("${(@f)$(grantd completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -a found
}
compdef _grantd grantd
`)
	return err
}

func (fishCommand) Run(c console) error {
	_, err := io.WriteString(c.out, `complete -c grantd -f -a '(grantd completion words -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
`)
	return err
}

type wordsCommand struct {
	Line []string `arg:"" optional:"" help:"The words after grantd, the last one unfinished."`
}

// Run prints the candidates, a line each.
func (w wordsCommand) Run(c console, parsed *kong.Context) error {
	for _, candidate := range candidates(parsed.Model.Node, w.Line) {
		if _, err := fmt.Fprintln(c.out, candidate); err != nil {
			return err
		}
	}
	return nil
}

// candidates are what may stand in place of the last word of a command line: commands, or
// flags once it begins with a dash. They know nothing of the values of flags.
func candidates(root *kong.Node, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	node, open := root, (*kong.Flag)(nil) // open is the flag whose value comes next
	for _, word := range words[:len(words)-1] {
		name, isFlag := strings.CutPrefix(word, "--")
		switch {
		case open != nil:
			open = nil
		case isFlag && !strings.Contains(name, "="):
			if f := flagOf(node, name); f != nil && !f.IsBool() {
				open = f
			}
		case !isFlag:
			if i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == word }); i >= 0 {
				node = node.Children[i]
			}
		}
	}
	var all []string
	switch {
	case open != nil:
	case strings.HasPrefix(last, "-"):
		for _, group := range flagsAt(node) {
			for _, f := range group {
				all = append(all, "--"+f.Name)
			}
		}
	default:
		for _, n := range node.Children {
			if !n.Hidden {
				all = append(all, n.Name)
			}
		}
	}
	all = slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, last) })
	slices.Sort(all)
	return slices.Compact(all)
}

func flagOf(node *kong.Node, name string) *kong.Flag {
	for _, group := range flagsAt(node) {
		for _, f := range group {
			if f.Name == name {
				return f
			}
		}
	}
	return nil
}

// flagsAt are the flags that a command takes, and those of the command below it whose name may be left out.
func flagsAt(node *kong.Node) [][]*kong.Flag {
	if node.DefaultCmd != nil {
		node = node.DefaultCmd
	}
	return node.AllFlags(true)
}
