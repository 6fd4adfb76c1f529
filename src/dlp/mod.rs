//! Data loss prevention: finds credentials in text, in fields and in streamed bodies. Knows no HTTP server.
