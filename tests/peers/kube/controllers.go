package main

import (
	"context"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
)

const workers = 2

// startControllers runs what makes and unmakes namespaces: the `default` service
// account, the ConfigMap kube-root-ca.crt, and the emptying of a deleted
// namespace. Tokens of a deleted service account need no controller: the API
// server itself looks the account up. There is no garbage collector, so nothing
// follows an ownerReference.
func startControllers(ctx context.Context, admin *rest.Config) error {
	client, err := kubernetes.NewForConfig(admin)
	if err != nil {
		return err
	}
	anyKind, err := metadata.NewForConfig(admin)
	if err != nil {
		return err
	}
	rootCA, err := os.ReadFile(admin.CAFile)
	if err != nil {
		return err
	}
	shared := informers.NewSharedInformerFactory(client, 0)
	core := shared.Core().V1()

	accounts, err := serviceaccount.NewServiceAccountsController(klog.FromContext(ctx), core.ServiceAccounts(), core.Namespaces(), client, serviceaccount.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return err
	}
	roots, err := rootcacertpublisher.NewPublisher(core.ConfigMaps(), core.Namespaces(), client, rootCA)
	if err != nil {
		return err
	}
	namespaces := namespace.NewNamespaceController(ctx, client, anyKind, client.Discovery().ServerPreferredNamespacedResources, core.Namespaces(), 5*time.Minute, corev1.FinalizerKubernetes)

	shared.Start(ctx.Done())
	go accounts.Run(ctx, workers)
	go roots.Run(ctx, workers)
	go namespaces.Run(ctx, workers)
	return nil
}

// waitNamespaceUsable returns once the namespace `default` has what pods and
// tokens need, which shows that the controllers work.
func waitNamespaceUsable(stop context.Context, admin *rest.Config) error {
	client, err := kubernetes.NewForConfig(admin)
	if err != nil {
		return err
	}
	core := client.CoreV1()
	err = wait.PollUntilContextTimeout(stop, 20*time.Millisecond, readyLimit, true, func(ctx context.Context) (bool, error) {
		_, err := core.ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		if err == nil {
			_, err = core.ConfigMaps(metav1.NamespaceDefault).Get(ctx, rootcacertpublisher.RootCACertConfigMapName, metav1.GetOptions{})
		}
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return fmt.Errorf("waiting for the default service account: %w", err)
	}
	return nil
}
