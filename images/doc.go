// Package images keeps images: their names, manifests, configurations and compressed layers.
//
// It owns one folder, an OCI image layout (image-spec, image-layout.md) that skopeo, umoci and others read as it is:
//
//	images/                     flock(2): whoever writes index.json
//	    oci-layout              the layout's version
//	    index.json              every image, one entry a name; replaced by rename, so readers take no lock
//	    blobs/sha256/<hex>      manifests, configurations, layers: complete, verified, never written again
//	    ingest/                 flock(2): shared by whoever adds blobs, exclusive for whoever collects garbage
//	        <hex>.partial       a download, kept when it is interrupted; flock(2): whoever writes it
//	        <random>.tmp        other bytes on their way to blobs/
//
// An entry of index.json carries its full name (docker.io/library/busybox:latest, or name@digest for what a registry calls
// it) as org.opencontainers.image.ref.name, and the image's ID, so that no blob is read to find out which image is meant.
// An image that lost its last name keeps one entry without a name.
//
// A blob comes into being by rename(2) after its bytes were hashed. A name is written only after all blobs that it needs. So
// whatever dies in between leaves nothing but unreferenced blobs and files in ingest/, which the next writer that is alone
// collects.
//
// All bytes that come from elsewhere are hostile until they are checked: documents are bounded in size before they are
// parsed, digests are checked before they become paths and again against the bytes, and a decompressed stream is bounded by
// what it was decompressed from. Annotations and labels never steer anything.
//
// The package never unpacks a layer, mounts anything, or runs a program, except the credential helpers that the user's own
// ~/.docker/config.json names. It does not know containers: whoever removes an image says which containers use it.
package images
