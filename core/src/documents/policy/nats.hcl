# The NATS initializer: the public documents of NATS, and its certificate.

path "nats-jwt/data/operator"         { capabilities = ["read"] }
path "nats-jwt/data/account/system"   { capabilities = ["read"] }
path "nats-jwt/data/account/platform" { capabilities = ["read"] }

path "pki/issue/nats" {
  capabilities = ["update"]
  allowed_parameters = {
    "common_name"        = ["nats.NAMESPACE.svc"]
    "uri_sans"           = []
    "ttl"                = []
    "format"             = ["pem"]
    "private_key_format" = ["pkcs8"]
  }
  required_parameters = ["common_name", "uri_sans", "ttl"]
}

# The same for a key that was born in the pod.
path "pki/sign/nats" {
  capabilities = ["update"]
  allowed_parameters = {
    "csr"         = []
    "common_name" = ["nats.NAMESPACE.svc"]
    "uri_sans"    = []
    "ttl"         = []
    "format"      = ["pem"]
  }
  required_parameters = ["csr", "common_name", "uri_sans", "ttl"]
}
