// Package openapitest holds an API against its OpenAPI 3.1 document: its routes, the examples of the document, and every request and
// answer that a test exchanges through a [Client].
package openapitest
