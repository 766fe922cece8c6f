# The OpenSearch initializer: the credentials that OpenSearch is to know, and its certificate.

path "opensearch/data/admin"     { capabilities = ["read"] }
path "opensearch/data/collector" { capabilities = ["read"] }
path "opensearch/data/viewer"    { capabilities = ["read"] }

path "pki/issue/opensearch" {
  capabilities = ["update"]
  allowed_parameters = {
    "common_name"        = ["opensearch.NAMESPACE.svc"]
    "uri_sans"           = []
    "ttl"                = []
    "format"             = ["pem"]
    "private_key_format" = ["pkcs8"]
  }
  required_parameters = ["common_name", "uri_sans", "ttl"]
}

# The same for a key that was born in the pod.
path "pki/sign/opensearch" {
  capabilities = ["update"]
  allowed_parameters = {
    "csr"         = []
    "common_name" = ["opensearch.NAMESPACE.svc"]
    "uri_sans"    = []
    "ttl"         = []
    "format"      = ["pem"]
  }
  required_parameters = ["csr", "common_name", "uri_sans", "ttl"]
}
