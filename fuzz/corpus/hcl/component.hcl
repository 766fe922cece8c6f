# Every component of the tenant namespaces, each with its own token: what is named after the caller's namespace and
# service account is its own. A wildcard behind a name would open the names that begin with it, so there is none.

# Its certificate, with a key that Vault makes or for one that was born in the pod.
path "pki/issue/component" {
  capabilities = ["update"]
  allowed_parameters = {
    "uri_sans"           = []
    "ttl"                = []
    "alt_names"          = ["broker.kubefox.internal"]
    "format"             = ["pem"]
    "private_key_format" = ["pkcs8"]
  }
  required_parameters = ["uri_sans", "ttl"]
}
path "pki/sign/component" {
  capabilities = ["update"]
  allowed_parameters = {
    "csr"       = []
    "uri_sans"  = []
    "ttl"       = []
    "alt_names" = ["broker.kubefox.internal"]
    "format"    = ["pem"]
  }
  required_parameters = ["csr", "uri_sans", "ttl"]
}

# The certificate of its runtime.
path "pki/issue/runtime" {
  capabilities = ["update"]
  allowed_parameters = {
    "uri_sans"           = []
    "ttl"                = []
    "format"             = ["pem"]
    "private_key_format" = ["pkcs8"]
  }
  required_parameters = ["uri_sans", "ttl"]
}

# Its NATS key: made once by writing it, read, and used to sign. Without a type Vault would make an AES key.
path "nats/keys/user.{{identity.entity.aliases.ACCESSOR.metadata.service_account_namespace}}.{{identity.entity.aliases.ACCESSOR.metadata.service_account_name}}" {
  capabilities       = ["read", "update"]
  allowed_parameters = { "type" = ["ed25519"] }
}
path "nats/sign/user.{{identity.entity.aliases.ACCESSOR.metadata.service_account_namespace}}.{{identity.entity.aliases.ACCESSOR.metadata.service_account_name}}" {
  capabilities        = ["update"]
  allowed_parameters  = { "input" = [] }
  required_parameters = ["input"]
}

# The environments of its namespace.
path "environments/data/{{identity.entity.aliases.ACCESSOR.metadata.service_account_namespace}}/*" {
  capabilities = ["read"]
}
