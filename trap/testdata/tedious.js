// Logs in to a SQL Server with tedious and runs one query.
// usage: node tedious.js PORT ENCRYPT TRUST CAFILE    (ENCRYPT: true, false, strict)
const { Connection, Request } = require('tedious');
const fs = require('fs');

const [port, encrypt, trust, caFile] = process.argv.slice(2);
const connection = new Connection({
  server: '127.0.0.1',
  authentication: { type: 'default', options: { userName: 'app', password: 'not-a-secret' } },
  options: {
    port: Number(port),
    encrypt: encrypt === 'strict' ? 'strict' : encrypt === 'true',
    trustServerCertificate: trust === 'true',
    serverName: 'localhost',
    connectTimeout: 4000,
    cryptoCredentialsDetails: { ca: fs.readFileSync(caFile) },
  },
});
connection.on('error', () => {});
connection.on('connect', (err) => {
  if (err) {
    console.log('connect: ' + err.message);
    process.exit(1);
  }
  const request = new Request('SELECT 1', (err, rows) => {
    console.log(err ? 'query: ' + err.message : 'rows: ' + rows);
    connection.close();
    process.exit(err ? 1 : 0);
  });
  connection.execSqlBatch(request);
});
connection.connect();
