// kube is a real Kubernetes control plane for tests, in one process: an embedded
// etcd, the unmodified kube-apiserver, and the three controllers without which a
// namespace is not usable (controllers.go). No node, so no pod ever runs.
//
//	kube up --dir D [--exit-with-stdin]
//
// D keeps everything: keys, port and data, so a second run on D is the same
// cluster again. One process means that even SIGKILL leaves nothing running.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
)

const (
	// readyLimit bounds the wait for the API server and then for the first
	// default service account; both take about two seconds on an idle machine.
	readyLimit = 120 * time.Second
	// stopLimit bounds the orderly stop of the API server; the process ends after it anyway.
	stopLimit = 10 * time.Second

	usage = "usage: kube up --dir D [--exit-with-stdin]"
)

func main() {
	flags := flag.NewFlagSet("kube up", flag.ExitOnError)
	dir := flags.String("dir", "", "state directory, created if absent (required)")
	exitWithStdin := flags.Bool("exit-with-stdin", false, "stop when standard input closes, as when the parent dies")
	if len(os.Args) < 2 || os.Args[1] != "up" {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if flags.Parse(os.Args[2:]); *dir == "" || flags.NArg() > 0 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}

	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if *exitWithStdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
	}

	state, err := openState(*dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kube:", err)
		os.Exit(1)
	}
	if err := up(stop, state); err != nil {
		fmt.Fprintf(state.stderr, "kube: %v (log: %s)\n", err, state.path("kube.log"))
		os.Exit(1)
	}
}

// up starts the parts in the order of their dependence, says READY on standard
// output, waits for stop, and takes them down in reverse order. Before READY the
// end of the process is all the taking down there is: an API server that is
// cancelled amid its start aborts the process with an error of its own.
func up(stop context.Context, state *state) error {
	begin := time.Now()
	if err := ensurePKI(state.path("pki")); err != nil {
		return fmt.Errorf("making keys: %w", err)
	}
	etcd, err := startEtcd(state.path("etcd"))
	if err != nil {
		return fmt.Errorf("starting etcd: %w", err)
	}
	listener, err := state.listen()
	if err != nil {
		return err
	}
	server := "https://" + listener.Addr().String()
	admin := &rest.Config{Host: server, QPS: 200, Burst: 400, TLSClientConfig: rest.TLSClientConfig{
		CAFile: state.path("pki/ca.crt"), CertFile: state.path("pki/admin.crt"), KeyFile: state.path("pki/admin.key"),
	}}
	kubeconfig := state.path("admin.kubeconfig")
	if err := writeKubeconfig(kubeconfig, admin); err != nil {
		return err
	}

	apiserver := startAPIServer(listener, etcd.Clients[0].Addr().String(), state.path("pki"))
	if err := apiserver.waitReady(stop, admin); err != nil {
		return unlessStopped(stop, err)
	}
	controllers, stopControllers := context.WithCancel(context.Background())
	defer stopControllers()
	if err := startControllers(controllers, admin); err != nil {
		return fmt.Errorf("starting controllers: %w", err)
	}
	if err := waitNamespaceUsable(stop, admin); err != nil {
		return unlessStopped(stop, err)
	}

	fmt.Printf("READY server=%s kubeconfig=%s after_ms=%d\n", server, kubeconfig, time.Since(begin).Milliseconds())
	select {
	case <-stop.Done():
	case err = <-etcd.Err():
		err = fmt.Errorf("etcd ended: %w", err)
	case <-apiserver.ended:
		err = fmt.Errorf("kube-apiserver ended: %w", apiserver.err)
	}
	stopControllers()
	apiserver.stop()
	etcd.Close()
	return err
}

// unlessStopped is nil if the wait was cut short by being told to stop, which is no error.
func unlessStopped(stop context.Context, err error) error {
	if stop.Err() != nil {
		return nil
	}
	return err
}

// state is the directory that outlives a run.
type state struct {
	dir string
	// stderr is where this process's caller reads; descriptor 2 itself goes to the log.
	stderr *os.File
	lock   *os.File
}

// openState makes the directory ours alone for the life of the process, and
// sends everything that the components print to D/kube.log.
func openState(dir string) (*state, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &state{dir: dir}
	if s.lock, err = os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("%s is in use by another kube: stop that one, or name another --dir (%w)", dir, err)
	}
	log, err := os.OpenFile(s.path("kube.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	caller, err := syscall.Dup(2)
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(caller)
	s.stderr = os.NewFile(uintptr(caller), "stderr")
	return s, syscall.Dup3(int(log.Fd()), 2, 0)
}

func (s *state) path(name string) string { return filepath.Join(s.dir, name) }
