package main

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

// testApp is the command line, talking to nobody.
func testApp(t *testing.T) *app {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	return newApp(&ui{in: null, out: &output{file: null}, err: null})
}

func TestArrange(t *testing.T) {
	a := testApp(t)
	for _, test := range []struct{ in, want string }{
		{"ctr ps", "ctr ps --"},
		{"ctr ps -aq", "ctr ps --all=true --quiet=true --"},
		{"ctr ps -n 3", "ctr ps --last=3 --"},
		{"ctr ps -n3", "ctr ps --last=3 --"},
		{"ctr ps -n=3", "ctr ps --last=3 --"},
		{"ctr --root /x ps", "ctr --root=/x ps --"},
		{"ctr run -dit busybox", "ctr run --detach=true --interactive=true --tty=true -- busybox"},
		{"ctr run -it=false busybox", "ctr run --interactive=true --tty=false -- busybox"},
		{"ctr run -p80:80 -eA=b=c busybox ls -l --all", "ctr run --publish=80:80 --env=A=b=c -- busybox ls -l --all"},
		{"ctr run --name web -- busybox -x", "ctr run --name=web -- busybox -x"},
		{"ctr run --name= busybox", "ctr run --name= -- busybox"},
		{"ctr run busybox -- x", "ctr run -- busybox -- x"},
		{"ctr run -h web busybox", "ctr run --hostname=web -- busybox"},
		{"ctr exec -it web sh -c x", "ctr exec --interactive=true --tty=true -- web sh -c x"},
		{"ctr logs web -f --tail 3", "ctr logs --follow=true --tail=3 -- web"},
		{"ctr rm web -f db", "ctr rm --force=true -- web db"},
		{"ctr rm -- -f", "ctr rm -- -f"},
		{"ctr container ls -a", "ctr container ls --all=true --"},
		{"ctr container run -d busybox ls -l", "ctr container run --detach=true -- busybox ls -l"},
		{"ctr network ls -q", "ctr network ls --quiet=true --"},
		{"ctr import - name", "ctr import -- - name"},
		{"ctr run --net host busybox", "ctr run --network=host -- busybox"},
		{"ctr stop --time 3 web", "ctr stop --timeout=3 -- web"},
	} {
		l, err := arrange(a.cli, strings.Fields(test.in))
		if got := strings.Join(l.args, " "); err != nil || got != test.want {
			t.Errorf("%s: got %s, %v, want %s", test.in, got, err, test.want)
		}
	}
}

func TestArrangeRefuses(t *testing.T) {
	a := testApp(t)
	for _, test := range []struct {
		in, want string
		code     int
	}{
		{"ctr bogus", "unknown command: ctr bogus", 1},
		{"ctr network bogus", "unknown command: ctr network bogus", 1},
		{"ctr run --bogus x", "unknown flag: --bogus", 125},
		{"ctr ps --bogus", "unknown flag: --bogus", 125},
		{"ctr --bogus ps", "unknown flag: --bogus", 125},
		{"ctr run -dZ x", "unknown shorthand flag: 'Z' in -dZ", 125},
		{"ctr run --name", "flag needs an argument: --name", 125},
		{"ctr run -ie", "flag needs an argument: 'e' in -ie", 125},
		{"ctr run --e A=b x", "unknown flag: --e", 125},
	} {
		_, err := arrange(a.cli, strings.Fields(test.in))
		var usage *usageError
		if !errors.As(err, &usage) || usage.text != test.want || usage.code != test.code {
			t.Errorf("%s: got %v, want %s", test.in, err, test.want)
		}
	}
}

func TestArrangeHelp(t *testing.T) {
	a := testApp(t)
	for in, want := range map[string]string{
		"ctr --help": "", "ctr help": "", "ctr -h": "", "ctr ps --help": "ps", "ctr ps -h": "ps", "ctr help run": "run",
		"ctr container": "container", "ctr help network ls": "network ls", "ctr container run --help": "run", "ctr network": "network",
	} {
		l, err := arrange(a.cli, strings.Fields(in))
		if err != nil || !l.help || l.name() != want {
			t.Errorf("%s: help %v of %q, %v", in, l.help, l.name(), err)
		}
	}
	// What belongs to the program is not ours.
	if l, err := arrange(a.cli, strings.Fields("ctr run busybox ls --help")); err != nil || l.help {
		t.Errorf("the program's --help became ours: %v", err)
	}
}

// Every command tells how it is used and gives an example, and every flag's first name is a long one.
func TestCommandsAreDocumented(t *testing.T) {
	a := testApp(t)
	commands := a.cli.Commands
	for i := 0; i < len(commands); i++ {
		c := commands[i]
		commands = append(commands, c.Subcommands...)
		if c.Hidden {
			continue
		}
		if c.Usage == "" || len(c.Subcommands) == 0 && c.Description == "" {
			t.Errorf("%s has no usage or no example", c.Name)
		}
		seen := map[string]bool{}
		for _, f := range c.Flags {
			if len(f.Names()[0]) < 2 {
				t.Errorf("%s: flag %v has no long name first", c.Name, f.Names())
			}
			for _, n := range f.Names() {
				if seen[n] {
					t.Errorf("%s has two flags %q", c.Name, n)
				}
				seen[n] = true
			}
		}
	}
}

func FuzzArrange(f *testing.F) {
	f.Add("run\x00-it\x00--name=x\x00busybox\x00ls\x00-l")
	f.Add("network\x00ls\x00-q\x00--")
	f.Add("-\x00--\x00---\x00-=\x00--=")
	f.Fuzz(func(t *testing.T, s string) {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		a := newApp(&ui{in: null, out: &output{file: null}, err: null})
		args := append([]string{"ctr"}, strings.Split(s, "\x00")...)
		l, err := arrange(a.cli, args)
		if err == nil && !l.help && len(l.path) > 0 {
			// What was put in order stays as it is.
			again, err := arrange(a.cli, l.args)
			if err != nil || !reflect.DeepEqual(again.args, l.args) {
				t.Errorf("%q became %q and then %q, %v", args, l.args, again.args, err)
			}
		}
		_ = a.complete(nil)
	})
}
