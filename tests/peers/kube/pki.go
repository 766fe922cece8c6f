package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

const (
	serviceRange = "10.96.0.0/16"
	// certificateLife outlasts any state directory worth keeping.
	certificateLife = 10 * 365 * 24 * time.Hour
	// clockSkew is how far certificates reach into the past.
	clockSkew = time.Hour
)

// ensurePKI makes dir with ca, apiserver and admin (.crt and .key) and sa.key,
// all PEM, keys in PKCS#8. The folder appears complete or not at all.
func ensurePKI(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	made := dir + ".new"
	if err := errors.Join(os.RemoveAll(made), os.Mkdir(made, 0o700)); err != nil {
		return err
	}
	authority, err := issue(filepath.Join(made, "ca"), nil, &x509.Certificate{
		Subject: pkix.Name{CommonName: "kube test CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	})
	if err != nil {
		return err
	}
	_, apiserverErr := issue(filepath.Join(made, "apiserver"), authority, &x509.Certificate{
		Subject: pkix.Name{CommonName: "kube-apiserver"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
		// 10.96.0.1 is the first address of serviceRange, which the service `kubernetes` gets.
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, net.IPv4(10, 96, 0, 1)},
	})
	_, adminErr := issue(filepath.Join(made, "admin"), authority, &x509.Certificate{
		Subject:  pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	// Service account tokens are RS256 in the clusters that people run, so here too.
	tokenKey, tokenKeyErr := rsa.GenerateKey(rand.Reader, 2048)
	if err := errors.Join(apiserverErr, adminErr, tokenKeyErr); err != nil {
		return err
	}
	if err := writeKey(filepath.Join(made, "sa.key"), tokenKey); err != nil {
		return err
	}
	return os.Rename(made, dir)
}

// signer is a certificate with its key.
type signer struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// issue writes path.crt and path.key: template with a new key, signed by the
// authority, or by itself where that is nil.
func issue(path string, authority *signer, template *x509.Certificate) (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if authority == nil {
		authority = &signer{template, key}
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, err
	}
	template.NotBefore = time.Now().Add(-clockSkew)
	template.NotAfter = time.Now().Add(certificateLife)
	der, err := x509.CreateCertificate(rand.Reader, template, authority.certificate, key.Public(), authority.key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &signer{certificate, key}, errors.Join(writePEM(path+".crt", "CERTIFICATE", der), writeKey(path+".key", key))
}

func writeKey(path string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "PRIVATE KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// writeKubeconfig writes the admin's access with all keys inside, so that the
// file works wherever it is copied.
func writeKubeconfig(path string, admin *rest.Config) error {
	inline := *admin
	if err := rest.LoadTLSFiles(&inline); err != nil {
		return err
	}
	config := api.NewConfig()
	config.Clusters["test"] = &api.Cluster{Server: inline.Host, CertificateAuthorityData: inline.CAData}
	config.AuthInfos["admin"] = &api.AuthInfo{ClientCertificateData: inline.CertData, ClientKeyData: inline.KeyData}
	config.Contexts["admin@test"] = &api.Context{Cluster: "test", AuthInfo: "admin"}
	config.CurrentContext = "admin@test"
	return clientcmd.WriteToFile(*config, path)
}
