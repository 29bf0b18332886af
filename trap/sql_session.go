package trap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/connsec/connsec/internal/tdswire"
)

// SQLQuery is one request of a client.
type SQLQuery struct {
	// Text is the statement: of a batch, or the one that sp_executesql was given. Requests to
	// the transaction manager come as "BEGIN TRANSACTION", "COMMIT TRANSACTION" and
	// "ROLLBACK TRANSACTION"; a call of another procedure as "EXEC name".
	Text string
	// Args are the parameters in their order. Their values are nil, bool, int64, float64,
	// string, []byte or time.Time.
	Args []SQLArg
	// Session numbers the connection, from 1.
	Session int
	// Encrypted: the request came, and the answer goes, inside TLS.
	Encrypted bool
	// Database is the one that the login asked for.
	Database string
}

// SQLArg is a parameter.
type SQLArg struct {
	Name  string // with its "@"; empty if the call did not name it
	Value any
}

// SQLRows is the answer to a query. Without Columns it is a count of rows.
type SQLRows struct {
	Columns []string
	// Rows hold nil, bool, int, int64, float64, string, []byte or time.Time. The first value
	// of a column that is not nil gives it its type.
	Rows [][]any
	// Affected is the count if there are no Columns.
	Affected int64
}

// SQLError is an error as SQL Server reports it. A responder that returns any other error has
// its text reported under number 50000.
type SQLError struct {
	Number  int32
	State   byte
	Class   byte // severity; 0: 16
	Message string
}

// Error returns the message.
func (e *SQLError) Error() string { return e.Message }

const tds74 = 0x74000004

// Tokens (MS-TDS 2.2.7).
const (
	tokenReturnStatus = 0x79
	tokenColumns      = 0x81
	tokenError        = 0xaa
	tokenLoginAck     = 0xad
	tokenFeatureAck   = 0xae
	tokenRow          = 0xd1
	tokenEnvChange    = 0xe3
	tokenDone         = 0xfd
	tokenDoneProc     = 0xfe
	tokenDoneInProc   = 0xff
)

// DONE status bits.
const (
	doneMore      = 0x01
	doneError     = 0x02
	doneCount     = 0x10
	doneAttention = 0x20
)

// ENVCHANGE kinds.
const (
	envDatabase   = 1
	envLanguage   = 2
	envPacketSize = 4
	envCollation  = 7
	envBegin      = 8
	envCommit     = 9
	envRollback   = 10
	envRouting    = 20
)

// collation is Latin1_General_CI_AS.
var collation = [5]byte{0x09, 0x04, 0xd0, 0x00, 0x34}

// serveLogin answers the login and then requests until the client goes.
func (l *sqlLink) serveLogin(message []byte) (gone bool) {
	if l.c.Posture == SQLStalledLogin {
		return l.conn.drain()
	}
	login, err := tdswire.ParseLogin(message)
	if err != nil {
		return false
	}
	l.size = tdswire.DefaultPacketSize
	if v := login.TDSVersion; v>>24 < 0x72 && v != 0x08000000 {
		l.fail(&SQLError{Number: 18456, Class: 14, Message: "this server speaks TDS 7.2 and later"})
		l.done(tokenDone, doneError, 0)
		_ = l.flush()
		return false
	}
	l.database = login.Database
	l.session = int(l.sessions.Add(1))
	l.acknowledge(login)
	if err := l.flush(); err != nil {
		return wentAway(err)
	}
	for {
		t, request, err := tdswire.ReadMessage(l.rw, maxSQLRequest)
		if err != nil {
			_, byClient := clientAlert(err)
			return byClient || wentAway(err)
		}
		if t != tdswire.Attention {
			l.note(func(r *SQLConnection) {
				r.Queries++
				if !l.encrypted {
					r.QueriesInClear++
				}
			})
		}
		if !l.request(t, request) {
			return false
		}
		if err := l.flush(); err != nil {
			return wentAway(err)
		}
	}
}

// acknowledge accepts the login, whoever it is.
func (l *sqlLink) acknowledge(login tdswire.Login) {
	database := login.Database
	if database == "" {
		database = "master"
	}
	l.environment(envDatabase, varchar(database), varchar("master"))
	l.environment(envCollation, append([]byte{byte(len(collation))}, collation[:]...), []byte{0})
	l.environment(envLanguage, varchar("us_english"), varchar(""))
	l.environment(envPacketSize, varchar("4096"), varchar("4096"))
	version := login.TDSVersion
	if version != 0x08000000 {
		version = min(version, tds74)
	}
	body := []byte{1}
	body = binary.BigEndian.AppendUint32(body, version)
	body = append(body, varchar("Microsoft SQL Server")...)
	body = append(body, l.version.Major, l.version.Minor, byte(l.version.Build>>8), byte(l.version.Build))
	l.token(tokenLoginAck, body)
	l.route()
	if login.FeatureExt {
		l.reply = append(l.reply, tokenFeatureAck, 0xff) // none of the features
	}
	l.done(tokenDone, 0, 0)
}

// route sends the client to another server, if there is one (MS-TDS 2.2.7.9, type 20).
func (l *sqlLink) route() {
	host, portText, err := net.SplitHostPort(l.c.Route)
	port, bad := strconv.ParseUint(portText, 10, 16)
	if err != nil || bad != nil {
		return
	}
	name := tdswire.AppendUTF16(nil, host)
	value := binary.LittleEndian.AppendUint16(nil, uint16(5+len(name)))
	value = append(value, 0) // TCP
	value = binary.LittleEndian.AppendUint16(value, uint16(port))
	value = binary.LittleEndian.AppendUint16(value, uint16(len(name)/2))
	l.environment(envRouting, append(value, name...), []byte{0, 0})
}

// request answers one message; false ends the connection.
func (l *sqlLink) request(t tdswire.Type, request []byte) bool {
	if t == tdswire.Attention {
		l.done(tokenDone, doneAttention, 0)
		return true
	}
	body, ok := skipHeaders(request)
	if !ok {
		return false
	}
	switch t {
	case tdswire.SQLBatch:
		l.query(SQLQuery{Text: tdswire.UTF16(body)}, tokenDone)
	case tdswire.TransactionManager:
		return l.transaction(body)
	case tdswire.RPC:
		q, err := readRPC(body)
		if err != nil {
			l.fail(err)
			l.done(tokenDone, doneError, 0)
			return true
		}
		// Clients take an error from the last token.
		var status uint16
		if !l.query(q, tokenDoneInProc) {
			status = doneError
		}
		l.reply = append(l.reply, tokenReturnStatus, byte(status), 0, 0, 0)
		l.done(tokenDoneProc, status, 0)
	default: // bulk load and the rest
		l.fail(fmt.Errorf("the trap does not understand requests of type %#02x", byte(t)))
		l.done(tokenDone, doneError, 0)
	}
	return true
}

// skipHeaders drops ALL_HEADERS (MS-TDS 2.2.5.3).
func skipHeaders(b []byte) ([]byte, bool) {
	if len(b) < 4 {
		return nil, false
	}
	n := binary.LittleEndian.Uint32(b)
	if n < 4 || int64(n) > int64(len(b)) {
		return nil, false
	}
	return b[n:], true
}

// transaction answers the transaction manager's requests (MS-TDS 2.2.6.9).
func (l *sqlLink) transaction(body []byte) bool {
	if len(body) < 2 {
		return false
	}
	kinds := map[uint16]struct {
		text string
		env  byte
	}{5: {"BEGIN TRANSACTION", envBegin}, 7: {"COMMIT TRANSACTION", envCommit}, 8: {"ROLLBACK TRANSACTION", envRollback}}
	kind, known := kinds[binary.LittleEndian.Uint16(body)]
	if !known {
		l.fail(errors.New("the trap knows begin, commit and rollback only"))
		l.done(tokenDone, doneError, 0)
		return true
	}
	if _, err := l.ask(SQLQuery{Text: kind.text}); err != nil {
		l.fail(err)
		l.done(tokenDone, doneError, 0)
		return true
	}
	old := l.tx
	if kind.env == envBegin {
		l.txCount++
		l.tx = uint64(l.session)<<32 | l.txCount
		l.environment(kind.env, descriptor(l.tx), []byte{0})
	} else {
		l.tx = 0
		l.environment(kind.env, []byte{0}, descriptor(old))
	}
	l.done(tokenDone, 0, 0)
	return true
}

func descriptor(v uint64) []byte { return binary.LittleEndian.AppendUint64([]byte{8}, v) }

func (l *sqlLink) ask(q SQLQuery) (SQLRows, error) {
	q.Session, q.Encrypted, q.Database = l.session, l.encrypted, l.database
	if l.c.Query != nil {
		return l.c.Query(q)
	}
	return l.defaultAnswer(q)
}

// query asks the responder and writes its answer; false if that is an error.
func (l *sqlLink) query(q SQLQuery, done byte) bool {
	var more uint16
	if done == tokenDoneInProc {
		more = doneMore
	}
	rows, err := l.ask(q)
	if err != nil {
		l.fail(err)
		l.done(done, doneError|more, 0)
		return false
	}
	count := rows.Affected
	if len(rows.Columns) > 0 {
		if err := l.rows(rows); err != nil {
			l.fail(err)
			l.done(done, doneError|more, 0)
			return false
		}
		count = int64(len(rows.Rows))
	}
	l.done(done, doneCount|more, count)
	return true
}

// defaultAnswer is in keeping with the posture.
func (l *sqlLink) defaultAnswer(q SQLQuery) (SQLRows, error) {
	text := strings.ToLower(q.Text)
	encrypted := strings.ToUpper(fmt.Sprint(q.Encrypted))
	switch {
	case strings.Contains(text, "sys.dm_exec_connections") && strings.Contains(text, "@@spid"):
		return SQLRows{Columns: []string{"encrypt_option", "net_transport", "auth_scheme"}, Rows: [][]any{{encrypted, "TCP", "SQL"}}}, nil
	case strings.Contains(text, "sys.dm_exec_connections"):
		return SQLRows{
			Columns: []string{"encrypt_option", "net_transport", "auth_scheme", "sessions"},
			Rows:    [][]any{{encrypted, "TCP", "SQL", 1}},
		}, nil
	case strings.Contains(text, "xp_instance_regread"):
		forced := 0
		if l.forces() {
			forced = 1
		}
		var thumbprint any
		if l.c.Posture != SQLFallbackCertificate {
			thumbprint = "0123456789abcdef0123456789abcdef01234567"
		}
		return SQLRows{Columns: []string{"force_encryption", "force_strict", "certificate"}, Rows: [][]any{{forced, 0, thumbprint}}}, nil
	case strings.Contains(text, "@@version"):
		return SQLRows{Columns: []string{""}, Rows: [][]any{{"Microsoft SQL Server - " + l.c.Version}}}, nil
	case strings.HasPrefix(strings.TrimSpace(text), "select"):
		return SQLRows{Columns: []string{"n"}, Rows: [][]any{{1}}}, nil
	}
	return SQLRows{}, nil
}

// flush sends the reply that has been gathered.
func (l *sqlLink) flush() error {
	err := tdswire.WriteMessage(l.rw, tdswire.Reply, l.reply, l.size)
	l.reply = l.reply[:0]
	return err
}

func (l *sqlLink) token(kind byte, body []byte) {
	l.reply = append(l.reply, kind, byte(len(body)), byte(len(body)>>8))
	l.reply = append(l.reply, body...)
}

func (l *sqlLink) environment(kind byte, now, old []byte) {
	l.token(tokenEnvChange, append(append([]byte{kind}, now...), old...))
}

func (l *sqlLink) done(kind byte, status uint16, rows int64) {
	l.reply = append(l.reply, kind, byte(status), byte(status>>8), 0, 0)
	l.reply = binary.LittleEndian.AppendUint64(l.reply, uint64(rows))
}

func (l *sqlLink) fail(err error) {
	e := &SQLError{Number: 50000, Message: err.Error()}
	errors.As(err, &e)
	if e.Class == 0 {
		e.Class = 16
	}
	body := binary.LittleEndian.AppendUint32(nil, uint32(e.Number))
	body = append(body, e.State, e.Class)
	text := []rune(e.Message)
	text = text[:min(len(text), 1000)]
	encoded := tdswire.AppendUTF16(nil, string(text))
	body = binary.LittleEndian.AppendUint16(body, uint16(len(encoded)/2))
	body = append(body, encoded...)
	body = append(append(body, varchar("trap")...), varchar("")...)
	l.token(tokenError, binary.LittleEndian.AppendUint32(body, 1))
}

// varchar is B_VARCHAR: a byte with the number of characters, and these.
func varchar(s string) []byte {
	encoded := tdswire.AppendUTF16(nil, s)
	encoded = encoded[:min(len(encoded), 2*255)]
	return append([]byte{byte(len(encoded) / 2)}, encoded...)
}

// Types (MS-TDS 2.2.5.4).
const (
	typeGUID      = 0x24
	typeInt       = 0x26
	typeDate      = 0x28
	typeDateTime2 = 0x2a
	typeOffset    = 0x2b
	typeBit       = 0x68
	typeFloat     = 0x6d
	typeDateTimeN = 0x6f
	typeVarBinary = 0xa5
	typeVarChar   = 0xa7
	typeBinary    = 0xad
	typeChar      = 0xaf
	typeNVarChar  = 0xe7
	typeNChar     = 0xef

	maxShort = 8000 // bytes, beyond which a value goes in chunks
	longType = 0xffff
	plpNull  = math.MaxUint64
)

// rows writes the columns and the rows.
func (l *sqlLink) rows(r SQLRows) error {
	l.reply = append(l.reply, tokenColumns, byte(len(r.Columns)), byte(len(r.Columns)>>8))
	kinds, long := make([]byte, len(r.Columns)), make([]bool, len(r.Columns))
	for i, name := range r.Columns {
		kinds[i] = typeNVarChar
		typed := false
		for _, row := range r.Rows {
			if len(row) != len(r.Columns) {
				return errors.New("the responder's row has another number of values than it has columns")
			}
			kind, size, err := typeOf(row[i])
			if err != nil {
				return err
			}
			if kind != 0 && !typed {
				kinds[i], typed = kind, true
			}
			if kind != 0 && kind != kinds[i] {
				return errors.New("the responder's column mixes types")
			}
			long[i] = long[i] || size > maxShort
		}
		l.reply = append(l.reply, 0, 0, 0, 0, 0x09, 0) // user type; nullable, updatable unknown
		l.reply = append(l.reply, kinds[i])
		switch kinds[i] {
		case typeInt, typeFloat:
			l.reply = append(l.reply, 8)
		case typeBit:
			l.reply = append(l.reply, 1)
		case typeDateTime2:
			l.reply = append(l.reply, 7)
		default:
			size := uint16(maxShort)
			if long[i] {
				size = longType
			}
			l.reply = binary.LittleEndian.AppendUint16(l.reply, size)
			if kinds[i] == typeNVarChar {
				l.reply = append(l.reply, collation[:]...)
			}
		}
		l.reply = append(l.reply, varchar(name)...)
	}
	for _, row := range r.Rows {
		l.reply = append(l.reply, tokenRow)
		for i, v := range row {
			l.value(v, kinds[i], long[i])
		}
	}
	return nil
}

// typeOf gives a Go value its type and size; the type of nil is 0.
func typeOf(v any) (kind byte, size int, err error) {
	switch v := v.(type) {
	case nil:
		return 0, 0, nil
	case bool:
		return typeBit, 1, nil
	case int, int64:
		return typeInt, 8, nil
	case float64:
		return typeFloat, 8, nil
	case string:
		return typeNVarChar, 4 * len(v), nil
	case []byte:
		if v == nil {
			return 0, 0, nil
		}
		return typeVarBinary, len(v), nil
	case time.Time:
		return typeDateTime2, 8, nil
	}
	return 0, 0, fmt.Errorf("the responder's value has type %T", v)
}

func (l *sqlLink) value(v any, kind byte, long bool) {
	var data []byte
	null := v == nil
	switch v := v.(type) {
	case bool:
		data = []byte{0}
		if v {
			data[0] = 1
		}
	case int:
		data = binary.LittleEndian.AppendUint64(nil, uint64(v))
	case int64:
		data = binary.LittleEndian.AppendUint64(nil, uint64(v))
	case float64:
		data = binary.LittleEndian.AppendUint64(nil, math.Float64bits(v))
	case string:
		data = tdswire.AppendUTF16(nil, v)
	case []byte:
		data, null = v, v == nil
	case time.Time:
		data = dateTime2(v)
	}
	switch {
	case kind != typeNVarChar && kind != typeVarBinary:
		l.reply = append(append(l.reply, byte(len(data))), data...)
	case !long && null:
		l.reply = append(l.reply, 0xff, 0xff)
	case !long:
		l.reply = append(binary.LittleEndian.AppendUint16(l.reply, uint16(len(data))), data...)
	case null:
		l.reply = binary.LittleEndian.AppendUint64(l.reply, plpNull)
	default:
		l.reply = binary.LittleEndian.AppendUint64(l.reply, uint64(len(data)))
		if len(data) > 0 {
			l.reply = append(binary.LittleEndian.AppendUint32(l.reply, uint32(len(data))), data...)
		}
		l.reply = append(l.reply, 0, 0, 0, 0)
	}
}

// dayOne is the first day that SQL Server's dates count from.
var dayOne = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)

func dateTime2(t time.Time) []byte {
	t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	ticks := uint64(t.Sub(midnight) / 100)
	days := (midnight.Unix() - dayOne.Unix()) / 86400
	return []byte{byte(ticks), byte(ticks >> 8), byte(ticks >> 16), byte(ticks >> 24), byte(ticks >> 32), byte(days), byte(days >> 8), byte(days >> 16)}
}
