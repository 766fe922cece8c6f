package main

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

func TestAcceptsWhatTheLibraryMakes(t *testing.T) {
	operator, account, user := newKey(t, nkeys.CreateOperator), newKey(t, nkeys.CreateAccount), newKey(t, nkeys.CreateUser)

	userClaims := jwt.NewUserClaims(public(t, user))
	userClaims.Name = "broker <1> & é"
	userClaims.Expires = time.Now().Add(time.Hour).Unix()
	userClaims.Permissions.Pub.Allow.Add("orders.>")
	accountClaims := jwt.NewAccountClaims(public(t, account))
	scope := jwt.NewUserScope()
	scope.Key, scope.Role = public(t, newKey(t, nkeys.CreateAccount)), "broker"
	accountClaims.SigningKeys.AddScopedSigner(scope)

	for kind, token := range map[string]string{
		"operator": encode(t, jwt.NewOperatorClaims(public(t, operator)), operator),
		"account":  encode(t, accountClaims, operator),
		"user":     encode(t, userClaims, account),
	} {
		line, err := check(token)
		if err != nil || !strings.HasPrefix(line, kind+" ") {
			t.Errorf("%s: %q, %v", kind, line, err)
		}
	}
}

func TestRefusesWhatIsWrong(t *testing.T) {
	account, user := newKey(t, nkeys.CreateAccount), newKey(t, nkeys.CreateUser)
	valid := encode(t, jwt.NewUserClaims(public(t, user)), account)
	expired := jwt.NewUserClaims(public(t, user))
	expired.Expires = time.Now().Add(-time.Minute).Unix()
	badSubject := jwt.NewUserClaims(public(t, user))
	badSubject.Permissions.Pub.Allow.Add("has space")

	for name, c := range map[string]struct{ token, want string }{
		"tampered":       {valid[:len(valid)-4] + "AAAA", "signature verification"},
		"other payload":  {rewrite(t, valid, nil, func(p map[string]any) { p["name"] = "other" }), "signature verification"},
		"expired":        {encode(t, expired, account), "claim is expired"},
		"blocking issue": {encode(t, badSubject, account), "not allowed to contain queue"},
		"wrong jti":      {rewrite(t, valid, account, func(p map[string]any) { p["jti"] = "X" }), `jti is "X"`},
		"unknown field":  {rewrite(t, valid, account, func(p map[string]any) { p["nats"].(map[string]any)["pubs"] = 1 }), `unknown field "pubs"`},
		"old version":    {rewrite(t, valid, account, func(p map[string]any) { p["nats"].(map[string]any)["version"] = 1 }), "V1 signature"},
		"wrong issuer": {rewrite(t, valid, user, func(p map[string]any) { p["iss"] = public(t, user) }),
			"expected prefixes"},
		"no token": {"hello", "3 chunks"},
	} {
		t.Run(name, func(t *testing.T) {
			line, err := check(c.token)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, %v; want an error with %q", line, err, c.want)
			}
		})
	}
}

// rewrite changes the payload, and signs it again unless signer is nil.
func rewrite(t *testing.T, token string, signer nkeys.KeyPair, change func(map[string]any)) string {
	t.Helper()
	parts := strings.Split(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	payload := map[string]any{}
	if err := json.Unmarshal(raw, &payload); err != nil {
		t.Fatal(err)
	}
	change(payload)
	if raw, err = json.Marshal(payload); err != nil {
		t.Fatal(err)
	}
	parts[1] = base64.RawURLEncoding.EncodeToString(raw)
	if signer != nil {
		signature, err := signer.Sign([]byte(parts[0] + "." + parts[1]))
		if err != nil {
			t.Fatal(err)
		}
		parts[2] = base64.RawURLEncoding.EncodeToString(signature)
	}
	return strings.Join(parts, ".")
}

func newKey(t *testing.T, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	t.Helper()
	key, err := create()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func public(t *testing.T, key nkeys.KeyPair) string {
	t.Helper()
	text, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func encode(t *testing.T, claims jwt.Claims, signer nkeys.KeyPair) string {
	t.Helper()
	token, err := claims.Encode(signer)
	if err != nil {
		t.Fatal(err)
	}
	return token
}
