// jwt-check holds NATS JWTs against the official library.
//
//	jwt-check FILE...
//
// Each file holds one JWT, bare or in the armour of a credentials file. One line
// per file says ok or FAIL and why; a single failure makes the exit code 1.
package main

import (
	"bytes"
	"crypto/sha512"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/jwt/v2"
)

// claimsVersion is the one version of claims that is written today.
const claimsVersion = 2

func main() {
	files := os.Args[1:]
	if len(files) == 0 {
		fmt.Fprintln(os.Stderr, "usage: jwt-check FILE...")
		os.Exit(2)
	}
	failed := false
	for _, file := range files {
		line, err := checkFile(file)
		if err != nil {
			failed = true
			fmt.Printf("FAIL %s: %s\n", file, strings.ReplaceAll(err.Error(), "\n", "; "))
			continue
		}
		fmt.Printf("ok   %s: %s\n", file, line)
	}
	if failed {
		os.Exit(1)
	}
}

func checkFile(file string) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(content))
	if strings.HasPrefix(token, "-----BEGIN") {
		if token, err = jwt.ParseDecoratedJWT(content); err != nil {
			return "", err
		}
	}
	return check(token)
}

// check returns what the JWT is, or everything that is wrong with it.
func check(token string) (string, error) {
	// Verifies the header, the signature by the issuer's key, and that a key of
	// that kind (operator, account) may issue claims of this kind.
	claims, err := jwt.Decode(token)
	if err != nil {
		return "", err
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		return "", err
	}
	issues, validity := validate(claims)
	if err := errors.Join(validity, checkVersion(payload), checkFields(claims, payload), checkID(claims)); err != nil {
		return "", err
	}
	data := claims.Claims()
	return fmt.Sprintf("%s %q sub=%s iss=%s warnings=%d", claims.ClaimType(), data.Name, data.Subject, data.Issuer, issues), nil
}

// validate returns the number of issues that do not block, and those that do;
// a JWT outside its life is blocked too.
func validate(claims jwt.Claims) (int, error) {
	var results jwt.ValidationResults
	claims.Validate(&results)
	var blocking []error
	for _, issue := range results.Issues {
		if issue.Blocking || issue.TimeCheck {
			blocking = append(blocking, errors.New(issue.Description))
		}
	}
	return len(results.Issues) - len(blocking), errors.Join(blocking...)
}

func checkVersion(payload []byte) error {
	var outer struct {
		Nats struct{ Version int } `json:"nats"`
	}
	if err := json.Unmarshal(payload, &outer); err != nil {
		return err
	}
	if outer.Nats.Version != claimsVersion {
		return fmt.Errorf("nats.version is %d, not %d", outer.Nats.Version, claimsVersion)
	}
	return nil
}

// checkFields refuses fields that the library does not know: servers skip them in
// silence, so that a misspelt permission would simply not be there.
func checkFields(claims jwt.Claims, payload []byte) error {
	var known any
	switch claims.(type) {
	case *jwt.OperatorClaims:
		known = new(jwt.OperatorClaims)
	case *jwt.AccountClaims:
		known = new(jwt.AccountClaims)
	case *jwt.UserClaims:
		known = new(jwt.UserClaims)
	default:
		return fmt.Errorf("claims of type %q: only operator, account and user are checked here", claims.ClaimType())
	}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.DisallowUnknownFields()
	return decoder.Decode(known)
}

// checkID recomputes the jti as the library does on signing: the hash of the
// standard claims alone, in its own order of fields, without the jti.
func checkID(claims jwt.Claims) error {
	data := *claims.Claims()
	data.ID = ""
	standard, err := json.Marshal(data)
	if err != nil {
		return err
	}
	hash := sha512.Sum512_256(standard)
	want := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(hash[:])
	if got := claims.Claims().ID; got != want {
		return fmt.Errorf("jti is %q, the claims give %q", got, want)
	}
	return nil
}
