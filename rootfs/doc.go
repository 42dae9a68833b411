// Package rootfs keeps the unpacked layers of images and makes root file systems of them.
//
// On disk it owns the folder of layers and nothing else:
//
//	layers/<64 hexadecimal digits>/       one unpacked layer, named by its chain ID: an overlay lowerdir, never changed again
//	layers/<64 hexadecimal digits>.size   how many bytes its files have, once somebody has asked
//	layers/init1-<uid>-<gid>-<mode>/      what the engine mounts on, shared by all containers whose /etc is so: see Layers.Stack
//	layers/.tmp-<64 hexadecimal digits>/  a layer that is being unpacked or removed by whoever holds a flock(2) on it;
//	                                      without a holder it is the rest of a killed process, and is swept
//
// In the kernel it makes overlay mounts, idmapped mounts and mount namespaces that end with the thread they were made for. It knows neither
// images nor containers: it is handed streams, folders and users' names.
//
// What is in a layer or in a container's root was written by strangers. Package inroot is the only way in which the packages
// here open paths below such folders.
package rootfs
