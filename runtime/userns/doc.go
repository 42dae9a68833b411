// Package userns chooses the ranges of users and groups for containers that have a user namespace of their own, and makes such
// namespaces.
//
// Ranges are never shared silently: who asks for one that another container has is refused, unless both name the same entry of
// /etc/subuid, or one the other. The containers' own records say which are taken; the caller keeps a lock while it chooses.
//
// It owns no path. In the kernel it makes user namespaces, and network namespaces that belong to them; they live as long as the
// files that it returns are open.
package userns
