package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// issuer is also the one audience that the API server accepts for itself.
const issuer = "https://kubernetes.default.svc.cluster.local"

// apiserver is a kube-apiserver running in a goroutine of this process.
type apiserver struct {
	cancel context.CancelFunc
	// ended is closed after err is set.
	ended chan struct{}
	err   error
}

func startAPIServer(listener net.Listener, etcdAddress, pki string) *apiserver {
	ctx, cancel := context.WithCancel(context.Background())
	a := &apiserver{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		if a.err = runAPIServer(ctx, listener, etcdAddress, pki); a.err == nil {
			a.err = errors.New("stopped")
		}
	}()
	return a
}

// runAPIServer does what the kube-apiserver command does, except that it takes a
// listener that is already bound (so nobody can take the port in between) and
// ends with ctx instead of with a signal.
func runAPIServer(ctx context.Context, listener net.Listener, etcdAddress, pki string) error {
	server := options.NewServerRunOptions()
	flags := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	for _, set := range server.Flags().FlagSets {
		flags.AddFlagSet(set)
	}
	file := func(name string) string { return filepath.Join(pki, name) }
	if err := flags.Parse([]string{
		"--etcd-servers=http://" + etcdAddress,
		"--tls-cert-file=" + file("apiserver.crt"),
		"--tls-private-key-file=" + file("apiserver.key"),
		"--client-ca-file=" + file("ca.crt"),
		"--service-account-issuer=" + issuer,
		"--api-audiences=" + issuer,
		"--service-account-signing-key-file=" + file("sa.key"),
		"--service-account-key-file=" + file("sa.key"),
		"--service-cluster-ip-range=" + serviceRange,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		// Endpoints of the service `kubernetes` may not be loopback, and nothing would use them.
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none",
		"--profiling=false",
	}); err != nil {
		return err
	}
	server.SecureServing.Listener = listener
	server.SecureServing.BindAddress = net.IPv4(127, 0, 0, 1)
	server.SecureServing.BindPort = listener.Addr().(*net.TCPAddr).Port

	if err := server.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return err
	}
	completed, err := server.Complete(ctx)
	if err != nil {
		return err
	}
	if errs := completed.Validate(); len(errs) != 0 {
		return utilerrors.NewAggregate(errs)
	}
	return app.Run(ctx, completed)
}

// waitReady returns once /readyz answers 200 over TLS to the admin certificate.
func (a *apiserver) waitReady(stop context.Context, admin *rest.Config) error {
	client, err := kubernetes.NewForConfig(admin)
	if err != nil {
		return err
	}
	err = wait.PollUntilContextTimeout(stop, 50*time.Millisecond, readyLimit, true, func(ctx context.Context) (bool, error) {
		select {
		case <-a.ended:
			return false, fmt.Errorf("kube-apiserver ended: %w", a.err)
		default:
		}
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for /readyz: %w", err)
	}
	return nil
}

func (a *apiserver) stop() {
	a.cancel()
	select {
	case <-a.ended:
	case <-time.After(stopLimit):
	}
}

// listen binds the port of the last run on this directory if it is free, so that
// clients with the address in their configuration survive a restart, or else any.
func (s *state) listen() (net.Listener, error) {
	remembered := s.path("port")
	if port, err := os.ReadFile(remembered); err == nil {
		if l, err := net.Listen("tcp4", "127.0.0.1:"+strings.TrimSpace(string(port))); err == nil {
			return l, nil
		}
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	return l, os.WriteFile(remembered, []byte(port+"\n"), 0o600)
}
