package rootfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"ctr/rootfs/inroot"
)

// maxUserFile is the most that /etc/passwd and /etc/group of an image may hold, in bytes: Docker's bound.
const maxUserFile = 10 << 20

// maxID is the highest user or group ID, as in Docker: higher ones turn negative in 32-bit programs.
const maxID = 1<<31 - 1

// User is whom a container's program runs as.
type User struct {
	UID, GID int
	Groups   []int  // supplementary groups; the first is GID, as in Docker
	Home     string // "/" if passwd does not tell
	Name     string // empty if passwd has no such UID
}

// LookupUser resolves a user as Docker does: name|uid[:group|gid], looked up in /etc/passwd and /etc/group inside root, and
// groups to add, each a name or an ID. The empty string is root. A numeric user is an ID, never a name; without an explicit
// group the user is in every group of /etc/group that lists its name, with one in that alone.
//
// Files that are missing, or no regular files, count as empty. At most 10 MiB of them are read; links stay inside root.
// Lines whose IDs are no numbers do not exist, as in the C library. It returns ErrUser.
func LookupUser(root, spec string, extraGroups []string) (User, error) {
	r, err := inroot.Open(root)
	if err != nil {
		return User{}, fmt.Errorf("look up user %q: %w", spec, err)
	}
	defer r.Close()
	passwd, err := userFile(r, "etc/passwd")
	if err != nil {
		return User{}, fmt.Errorf("look up user %q: %w", spec, err)
	}
	group, err := userFile(r, "etc/group")
	if err != nil {
		return User{}, fmt.Errorf("look up user %q: %w", spec, err)
	}
	return resolveUser(spec, extraGroups, passwd, group)
}

// userFile reads a user database. Who has none, or something odd in its place, has no users.
func userFile(r *inroot.Root, name string) ([]byte, error) {
	data, err := r.ReadFile(name, maxUserFile)
	switch {
	case errors.Is(err, inroot.ErrNotRegular), errors.Is(err, os.ErrNotExist),
		errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EAGAIN):
		return nil, nil
	case errors.Is(err, inroot.ErrTooLarge):
		return nil, fmt.Errorf("%w: %w", ErrUser, err)
	}
	return data, err
}

// resolveUser is LookupUser on the files' content.
func resolveUser(spec string, extraGroups []string, passwd, group []byte) (User, error) {
	// GetExecUser would take the empty user of ":staff" for root.
	if strings.HasPrefix(spec, ":") {
		return User{}, &userError{fmt.Errorf("unable to find user %s: %w", spec, user.ErrNoPasswdEntries)}
	}
	// GetAdditionalGroups panics at an empty name (moby/sys/user v0.5.0).
	if slices.Contains(extraGroups, "") {
		return User{}, &userError{fmt.Errorf("unable to find group : %w", user.ErrNoGroupEntries)}
	}
	passwd, group = validLines(passwd, 2, 3), validLines(group, 2)
	found, err := user.GetExecUser(spec, &user.ExecUser{Home: "/"}, bytes.NewReader(passwd), bytes.NewReader(group))
	if err != nil {
		return User{}, &userError{err}
	}
	added, err := user.GetAdditionalGroups(extraGroups, bytes.NewReader(group))
	if err != nil {
		return User{}, &userError{err}
	}
	slices.Sort(added)
	u := User{UID: found.Uid, GID: found.Gid, Groups: []int{found.Gid}, Home: found.Home}
	if u.Home == "" {
		u.Home = "/"
	}
	for _, gid := range slices.Concat(found.Sgids, added) {
		if !slices.Contains(u.Groups, gid) {
			u.Groups = append(u.Groups, gid)
		}
	}
	u.Name, err = userName(passwd, u.UID, spec)
	return u, err
}

// userName finds the name that belongs to the ID: the one asked for, else the first in passwd.
func userName(passwd []byte, uid int, spec string) (string, error) {
	name, _, _ := strings.Cut(spec, ":")
	users, err := user.ParsePasswdFilter(bytes.NewReader(passwd), func(u user.User) bool { return u.Uid == uid })
	if err != nil {
		return "", &userError{err}
	}
	for _, u := range users {
		if u.Name == name {
			return name, nil
		}
	}
	if len(users) == 0 {
		return "", nil
	}
	return users[0].Name, nil
}

// validLines keeps the lines whose fields at the given places (from 0) are IDs in range. The parser would read 0, which is
// root, in place of anything else. It also drops lines that are too long for it.
func validLines(data []byte, fields ...int) []byte {
	out := make([]byte, 0, len(data))
	for line := range bytes.Lines(data) {
		if len(line) < maxLine(len(fields)) && validIDs(line, fields) {
			out = append(out, line...)
		}
	}
	return out
}

// maxLine is below what moby/sys/user scans: lines of passwd are short, those of group hold any number of names.
func maxLine(ids int) int {
	if ids == 2 {
		return 64<<10 - 1
	}
	return 1<<20 - 1
}

func validIDs(line []byte, fields []int) bool {
	parts := bytes.SplitN(bytes.TrimSpace(line), []byte(":"), 5)
	for _, i := range fields {
		if i >= len(parts) {
			return false
		}
		id, err := strconv.ParseUint(string(parts[i]), 10, 64)
		if err != nil || id > maxID {
			return false
		}
	}
	return true
}

// userError keeps Docker's wording, and is ErrUser.
type userError struct{ err error }

func (e *userError) Error() string   { return e.err.Error() }
func (e *userError) Unwrap() []error { return []error{ErrUser, e.err} }
