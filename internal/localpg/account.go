//go:build linux || darwin

package localpg

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// account is who the server runs as. Postgres refuses to run as root.
type account struct {
	uid, gid int
	switched bool // differs from the caller, who is root
}

func (a account) credential() *syscall.Credential {
	if !a.switched {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
}

// own gives a file or folder that root has made to the account.
func (a account) own(path string) error {
	if !a.switched {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

func (a account) String() string {
	if u, err := user.LookupId(strconv.Itoa(a.uid)); err == nil {
		return u.Username
	}
	return "uid " + strconv.Itoa(a.uid)
}

// unprivileged chooses the account for a root caller without data so far: the
// person behind sudo, else postgres, else nobody.
func unprivileged() (account, error) {
	lookups := []func() (*user.User, error){
		func() (*user.User, error) { return user.LookupId(os.Getenv("SUDO_UID")) },
		func() (*user.User, error) { return user.Lookup("postgres") },
		func() (*user.User, error) { return user.Lookup("nobody") },
	}
	for _, lookup := range lookups {
		u, err := lookup() // initdb insists on an account that the system knows
		if err != nil {
			continue
		}
		uid, errUID := strconv.Atoi(u.Uid)
		gid, errGID := strconv.Atoi(u.Gid)
		if errUID == nil && errGID == nil && uid > 0 {
			return account{uid, gid, true}, nil
		}
	}
	return account{}, errors.New("the private Postgres cannot run as root, and this machine has neither an account postgres nor nobody: run the command as another user or set DATABASE_URL")
}

// settle decides on the server's folder and account and makes the folder. The
// decision is the same for every later command: a folder that holds data stays
// where it is and with its owner.
func settle(dataDir string) (layout, account, error) {
	dataDir, err := filepath.Abs(dataDir)
	if err != nil {
		return layout{}, account{}, fmt.Errorf("finding the data folder: %w", err)
	}
	usual := layout{filepath.Join(dataDir, "postgres")}
	if os.Geteuid() != 0 {
		who := account{uid: os.Geteuid(), gid: os.Getegid()}
		return usual, who, makeHome(usual.home, who)
	}

	aside := layout{asideHome(dataDir)}
	for _, l := range []layout{usual, aside} {
		who, ok, err := ownerOfData(l)
		if err != nil {
			return layout{}, account{}, err
		}
		if ok {
			return l, who, makeHome(l.home, who)
		}
	}
	who, err := unprivileged()
	if err != nil {
		return layout{}, account{}, err
	}
	if reachable(filepath.Dir(usual.home), who) {
		return usual, who, makeHome(usual.home, who)
	}
	if !reachable(filepath.Dir(aside.home), who) {
		return layout{}, account{}, fmt.Errorf("the account %s can enter neither %s nor %s: set QUIMBI_DATA_DIR to a folder that it can enter", who, filepath.Dir(usual.home), filepath.Dir(aside.home))
	}
	return aside, who, makeHome(aside.home, who)
}

// Exists tells whether a private server was ever made in the folder; it makes nothing.
func Exists(dataDir string) (bool, error) {
	dataDir, err := filepath.Abs(dataDir)
	if err != nil {
		return false, fmt.Errorf("finding the data folder: %w", err)
	}
	for _, home := range []string{filepath.Join(dataDir, "postgres"), asideHome(dataDir)} {
		if _, there, err := ownerOfData(layout{home}); there || err != nil {
			return there, err
		}
	}
	return false, nil
}

// asideHome is the server's folder where the usual one lies out of reach of
// the account, as below /root. Its name depends on the usual place alone.
func asideHome(dataDir string) string {
	state := "/var/lib"
	if runtime.GOOS == "darwin" {
		state = "/var/db"
	}
	return filepath.Join(state, "quimbi-"+shortHash(dataDir))
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}

// ownerOfData tells whose data a folder holds, if any.
func ownerOfData(l layout) (account, bool, error) {
	info, err := os.Stat(l.versionOf())
	if errors.Is(err, fs.ErrNotExist) {
		return account{}, false, nil
	}
	if err != nil {
		return account{}, false, fmt.Errorf("looking at the data folder: %w", err)
	}
	st := info.Sys().(*syscall.Stat_t)
	if st.Uid == 0 {
		return account{}, false, fmt.Errorf("the data folder %s belongs to root, as whom Postgres does not run: give it to another account with chown -R", l.home)
	}
	who := account{int(st.Uid), int(st.Gid), true}
	if !reachable(filepath.Dir(l.home), who) {
		return account{}, false, fmt.Errorf("the data folder %s belongs to %s, who cannot enter a folder above it: let others enter it with chmod o+x", l.home, who)
	}
	return who, true, nil
}

// reachable tells whether the account may pass every existing folder down to
// dir; missing ones will be made passable.
func reachable(dir string, who account) bool {
	for {
		resolved, err := filepath.EvalSymlinks(dir)
		if err == nil {
			dir = resolved
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return false
		}
		dir = filepath.Dir(dir)
	}
	for {
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() || !mayEnter(info, who) {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}

func mayEnter(info fs.FileInfo, who account) bool {
	st := info.Sys().(*syscall.Stat_t)
	mode := info.Mode().Perm()
	switch {
	case int(st.Uid) == who.uid:
		return mode&0o100 != 0
	case int(st.Gid) == who.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}

// makeHome makes the server's folder, private to the account.
func makeHome(home string, who account) error {
	if err := makeParents(filepath.Dir(home), who); err != nil {
		return err
	}
	return makePrivate(home, who)
}

// makeParents makes the missing folders above the server's: private for a
// usual caller, passable for the account where root makes them.
func makeParents(dir string, who account) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := makeParents(filepath.Dir(dir), who); err != nil {
		return err
	}
	mode := os.FileMode(0o700)
	if who.switched {
		mode = 0o755
	}
	if err := os.Mkdir(dir, mode); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return fmt.Errorf("making the data folder: %w", err)
	}
	if err := os.Chmod(dir, mode); err != nil { // whatever the umask says
		return fmt.Errorf("making the data folder: %w", err)
	}
	if os.Getenv("SUDO_UID") == strconv.Itoa(who.uid) {
		// The person behind sudo will come again without it.
		if err := who.own(dir); err != nil {
			return fmt.Errorf("making the data folder: %w", err)
		}
	}
	return nil
}

// makePrivate makes a folder of mode 0700 that belongs to the account, and
// refuses one that belongs to somebody else.
func makePrivate(dir string, who account) error {
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		err = who.own(dir)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the folder of the private Postgres: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("making the folder of the private Postgres: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is in the way: the private Postgres needs a folder of that name", dir)
	}
	if owner := int(info.Sys().(*syscall.Stat_t).Uid); owner != who.uid {
		if owner != 0 || !who.switched {
			return fmt.Errorf("the folder %s of the private Postgres belongs to %s: run the command as that account, or set QUIMBI_DATA_DIR to a folder of your own", dir, account{uid: owner})
		}
		// Root was interrupted between making the folder and giving it away.
		if err := who.own(dir); err != nil {
			return fmt.Errorf("making the folder of the private Postgres: %w", err)
		}
	}
	if info.Mode().Perm() != 0o700 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("making the folder of the private Postgres private: %w", err)
		}
	}
	return nil
}

// maxSocketPath leaves room for the closing zero in macOS's 104 bytes; Linux
// has 108.
const maxSocketPath = 103

// makeSocketDir makes the folder of the socket: below the server's folder, or a
// private one among the temporary files where that path is too long or has a
// comma, which separates hosts in a connection string.
func makeSocketDir(l layout, who account) (string, error) {
	candidates := []string{l.socketDir()}
	for _, tmp := range []string{os.TempDir(), "/tmp"} {
		if reachable(tmp, who) {
			candidates = append(candidates, filepath.Join(tmp, fmt.Sprintf("quimbi-%d-%s", who.uid, shortHash(l.home))))
		}
	}
	for _, dir := range candidates {
		if len(socketFile(dir, socketPort)) <= maxSocketPath && !strings.Contains(dir, ",") {
			return dir, makePrivate(dir, who)
		}
	}
	return "", fmt.Errorf("the path %s cannot hold a socket (%d bytes at most, no comma): set QUIMBI_DATA_DIR to another one", l.socketDir(), maxSocketPath)
}

func socketFile(dir string, port int) string {
	return filepath.Join(dir, ".s.PGSQL."+strconv.Itoa(port))
}
