// Package httpapi serves an app's HTTP API: the parts that do not depend on the app.
//
// Concepts:
//
//   - A [Route] is a pattern of http.ServeMux and a function. An error that it returns becomes a problem (RFC 9457); one that is not
//     made as a [Problem] becomes a 500 that says nothing and is logged.
//   - Every route but the open ones wants a bearer token. A token belongs to a name, which is who did what ([User]).
//   - [Config] bounds bodies, headers, requests under way and their time, and listens on the loopback; elsewhere only with TLS, unless
//     it is told otherwise.
//   - Each API describes itself by an OpenAPI document; package openapitest holds the two against each other.
//
// Card numbers are kept out of what comes back and of the log: problems are redacted, and neither URLs nor bodies are logged.
package httpapi
