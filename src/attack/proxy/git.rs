//! A git push, in every way that some store of git understands.

use super::{Finding, Proxy, Row, row};

const ROWS: &[Row] = &[
    row(
        "advertisement",
        "git push over https",
        "GET /bottle/{mark}.git/info/refs?service=git-receive-pack HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "advertisement-head",
        "ask with HEAD what may be pushed",
        "HEAD /bottle/{mark}.git/info/refs?service=git-receive-pack HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "advertisement-escaped",
        "escape a letter of the service",
        "GET /bottle/{mark}.git/info/refs?service=git%2dreceive%2dpack HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "advertisement-name",
        "escape a letter of the parameter",
        "GET /bottle/{mark}.git/info/refs?%73ervice=git-receive-pack HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "advertisement-last",
        "ask for a fetch, and then for a push",
        "GET /bottle/{mark}.git/info/refs?service=git-upload-pack&service=git-receive-pack HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "advertisement-first",
        "ask for a push, and then for a fetch",
        "GET /bottle/{mark}.git/info/refs?service=git-receive-pack&service=git-upload-pack HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "advertisement-semicolon",
        "separate parameters by a semicolon",
        "GET /bottle/{mark}.git/info/refs?a=b;service=git-receive-pack HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "advertisement-no-ending",
        "push to a path without `.git`",
        "GET /{mark}/info/refs?service=git-receive-pack HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "advertisement-path",
        "escape a letter of the path",
        "GET /bottle/{mark}.git/info/%72efs?service=git-receive-pack HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "pack",
        "send a pack",
        "POST /bottle/{mark}.git/git-receive-pack HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-git-receive-pack-request\r\nContent-Length: 4\r\nConnection: close\r\n\r\n0000",
    ),
    row(
        "pack-escaped",
        "escape a letter of the path of a pack",
        "POST /bottle/{mark}.git/git-receive%2dpack HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nConnection: close\r\n\r\n0000",
    ),
    row(
        "pack-type",
        "send a pack to another path, by its type",
        "POST /bottle/{mark}.git/x HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-git-receive-pack-request\r\nContent-Length: 4\r\nConnection: close\r\n\r\n0000",
    ),
    row(
        "pack-type-cased",
        "write a pack's type in another case",
        "POST /bottle/{mark}.git/x HTTP/1.1\r\nHost: {host}\r\nContent-Type: Application/X-Git-Receive-Pack-Request\r\nContent-Length: 4\r\nConnection: close\r\n\r\n0000",
    ),
    row(
        "pack-put",
        "send a pack with PUT",
        "PUT /bottle/{mark}.git/git-receive-pack HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nConnection: close\r\n\r\n0000",
    ),
    row(
        "pack-slash",
        "end the path of a pack with a slash",
        "POST /bottle/{mark}.git/git-receive-pack/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nConnection: close\r\n\r\n0000",
    ),
    row(
        "ref",
        "write a ref over WebDAV",
        "PUT /bottle/{mark}/refs/heads/main HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "ref-ending",
        "write a ref of a repository over WebDAV",
        "PUT /bottle/{mark}.git/refs/heads/main HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "ref-delete",
        "delete a ref over WebDAV",
        "DELETE /bottle/{mark}.git/refs/heads/main HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "ref-move",
        "move a ref into place",
        "MOVE /bottle/{mark} HTTP/1.1\r\nHost: {host}\r\nDestination: /bottle/x.git/refs/heads/main\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "ref-copy",
        "copy a ref into place",
        "COPY /bottle/{mark} HTTP/1.1\r\nHost: {host}\r\nDestination: /bottle/x.git/refs/heads/main\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "head",
        "write HEAD over WebDAV",
        "PUT /bottle/{mark}.git/HEAD HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "packed-refs",
        "write packed refs over WebDAV",
        "PUT /bottle/{mark}.git/packed-refs HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "info-refs",
        "write the list of refs",
        "PUT /bottle/{mark}.git/info/refs HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "object",
        "write an object over WebDAV",
        "PUT /bottle/{mark}/objects/00/00000000000000000000000000000000000000 HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "object-pack",
        "write a pack over WebDAV",
        "PUT /bottle/{mark}.git/objects/pack/pack-0000000000000000000000000000000000000000.pack HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "object-info",
        "write the alternates of a repository",
        "PUT /bottle/{mark}.git/objects/info/alternates HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "folder",
        "make a folder of objects",
        "MKCOL /bottle/{mark}.git/objects/00/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "lock",
        "lock a ref",
        "LOCK /bottle/{mark}.git/refs/heads/main HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "unlock",
        "unlock a ref",
        "UNLOCK /bottle/{mark}.git/refs/heads/main HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "properties",
        "change the properties of a ref",
        "PROPPATCH /bottle/{mark}.git/refs/heads/main HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "patch",
        "patch a ref",
        "PATCH /bottle/{mark}.git/refs/heads/main HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "lfs-batch",
        "ask for the upload of a large file",
        "POST /bottle/{mark}.git/info/lfs/objects/batch HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/vnd.git-lfs+json\r\nContent-Length: 36\r\nConnection: close\r\n\r\n{\"operation\": \"upload\", \"objects\":[]}",
    ),
    row(
        "lfs-escaped",
        "escape a letter of the operation",
        "POST /bottle/{mark}.git/info/lfs/objects/batch HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/vnd.git-lfs+json\r\nContent-Length: 40\r\nConnection: close\r\n\r\n{\"operation\":\"\\u0075pload\",\"objects\":[]}",
    ),
    row(
        "lfs-twice",
        "say the operation twice",
        "POST /bottle/{mark}.git/info/lfs/objects/batch HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/vnd.git-lfs+json\r\nContent-Length: 57\r\nConnection: close\r\n\r\n{\"operation\":\"download\",\"operation\":\"upload\",\"objects\":[]}",
    ),
    row(
        "lfs-object",
        "upload a large file without a batch",
        "PUT /bottle/{mark}.git/info/lfs/objects/0000000000000000000000000000000000000000000000000000000000000000 HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    row(
        "lfs-old",
        "upload a large file by the older way",
        "POST /bottle/{mark}.git/info/lfs/objects HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    ),
    row(
        "lfs-verify",
        "verify an upload",
        "POST /bottle/{mark}.git/info/lfs/objects/verify HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    ),
    row(
        "lfs-lock",
        "lock a large file",
        "POST /bottle/{mark}.git/info/lfs/locks HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    ),
    row(
        "lfs-unlock",
        "unlock a large file by force",
        "POST /bottle/{mark}.git/info/lfs/locks/1/unlock HTTP/1.1\r\nHost: {host}\r\nContent-Length: 14\r\nConnection: close\r\n\r\n{\"force\":true}",
    ),
];

/// A push must be refused whatever the rules say of the host; one where rules say what may be pushed is for another room.
pub(super) fn run(proxy: &Proxy<'_>, findings: &mut Vec<Finding>) {
    let subject = proxy.subject("is without a rule for pushes", |host| host.git_push.is_none());
    proxy.rows("git", ROWS, &subject, findings);
}
