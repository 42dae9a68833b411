package names

// Limits of RFC 1035, section 2.3.4, and of file names.
const (
	maxLabel    = 63
	maxName     = 253
	maxFileName = 255
)

// Askable tells whether a DNS question can carry the name.
func Askable(name string) bool {
	_, ok := appendFileName(nil, name)
	return ok
}

// appendFileName appends the name of the file that stands for a name, and false if no DNS question can carry it. The labels
// of the name are separated by dots; one dot at its end is dropped.
func appendFileName[T string | []byte](dst []byte, name T) ([]byte, bool) {
	n := len(name)
	if n > 0 && name[n-1] == '.' {
		n--
	}
	if n == 0 || n > maxName {
		return dst, false
	}
	from, label := len(dst), 0
	for i := range n {
		c := name[i]
		if c == '.' {
			if label == 0 {
				return dst, false
			}
			label = 0
			dst = append(dst, c)
			continue
		}
		if label++; label > maxLabel {
			return dst, false
		}
		switch {
		case c >= 'A' && c <= 'Z':
			dst = append(dst, c+'a'-'A')
		case c <= ' ' || c == '/' || c == '%' || c == 0x7f:
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return dst, label > 0 && len(dst)-from <= maxFileName
}

const hex = "0123456789abcdef"
