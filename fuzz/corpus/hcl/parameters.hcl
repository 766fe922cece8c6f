path "/pki/issue/x" {
  capabilities = ["update", "read"]
  allowed_parameters = { "TTL" = [], "format" = ["pem", 1.5, true] }
  denied_parameters = { "csr" = [{ a = -1 }] }
  required_parameters = ["ttl"] # why
}
