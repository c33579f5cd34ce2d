// Package wire is the bytes of the system: endpoint and view ids, the format of
// datagrams and the codecs of control messages, reference-counted buffers, and
// the send log. It knows nothing of protocols; its subpackage udp moves
// datagrams over real sockets.
package wire
