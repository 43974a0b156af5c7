// An SMSC for the tests on the npm package `smpp`, a codec no one here wrote. It holds no rule of the product.
//
// node smsc.js '{"port": 0, "control_port": 0, "keep": 10000, "tls_key": FILE, "tls_cert": FILE, "behaviour": {…}}'
// Prints one line of JSON with both ports once it listens. Control over HTTP on the second port:
//   GET /messages    every submit_sm that was kept        GET /stats    counters
//   POST /behaviour  changes settings (see BEHAVIOUR)     POST /mo      sends a message from a phone
//   POST /drop       cuts every connection                POST /unbind  takes leave of everybody bound
//   GET /binds       the fields of every bind
'use strict';

const fs = require('fs');
const http = require('http');
const smpp = require('smpp');

// "per mille" settings strike evenly and without chance: 250 is every fourth message.
const BEHAVIOUR = {
  system_id: '', // with password: the only account that may bind; both empty: everybody may
  password: '',
  bind_status: 0, // answer every bind with this command_status
  receipts: true, // send the receipts that registered_delivery asks for
  receipt_first: false, // the receipt leaves before the answer that names its id
  receipt_delay_ms: 0,
  receipt_tlvs: true, // receipted_message_id and message_state beside the text
  receipt_esm_class: 4, // 0: a receipt that nothing marks as one
  receipt_pdu: 'deliver_sm', // or 'data_sm', with the text in message_payload
  receipt_tail: '', // hex, written behind the whole receipt: broken optional parameters
  ids: 'decimal', // 'decimal', 'hex_answer' (receipts decimal), 'hex_receipt' (answers decimal)
  answer_form: '', // one of FORMS, for answers; wins over `ids`
  receipt_form: '', // one of FORMS, for receipts; wins over `ids`
  answer: true, // false: take messages and never answer
  answer_delay_ms: 0,
  throttle: 0, // per mille
  throttle_status: smpp.ESME_RTHROTTLED,
  reject: 0, // per mille
  reject_status: smpp.ESME_RINVDSTADR,
  undelivered: 0, // per mille
  undelivered_stat: 'UNDELIV',
  drop_every: 0, // cut the connection at every Nth message
  drop_unanswered: false, // ... before its answer instead of after it
};
const FORMS = { // how the number of a message may be spelled
  dec: (id) => String(id), dec0: (id) => String(id).padStart(12, '0'),
  hex: (id) => id.toString(16), HEX: (id) => id.toString(16).toUpperCase(),
  hex0: (id) => id.toString(16).padStart(10, '0'), HEX0: (id) => id.toString(16).toUpperCase().padStart(10, '0'),
};
const MESSAGE_STATES = { ENROUTE: 1, DELIVRD: 2, EXPIRED: 3, DELETED: 4, UNDELIV: 5, ACCEPTD: 6, UNKNOWN: 7, REJECTD: 8 };
const REDELIVERY_MS = 200; // pause before a refused deliver_sm is tried again
const REDELIVERIES_MAX = 50;

const options = JSON.parse(process.argv[2] || '{}');
const behaviour = { ...BEHAVIOUR };
const keep = options.keep === undefined ? 10000 : options.keep;

const stats = {
  binds: 0, binds_refused: 0, sessions: 0, unbinds: 0, enquire_links: 0,
  submits: 0, accepted: 0, throttled: 0, rejected: 0, unanswered: 0, drops: 0, distinct: 0, duplicates: 0,
  receipts_sent: 0, receipts_answered: 0, receipts_refused: 0, mo_sent: 0, mo_answered: 0, waiting: 0, in_flight: 0,
};
const messages = []; // records, oldest first, the first `keep` of them
const seen = new Set(); // destination and octets of what was accepted, to count duplicates
const sessions = new Set(); // bound sessions
const binds = []; // what every bind asked for
let waiting = []; // deliveries no receiver has confirmed yet: receipts outlive the link, as in a real centre
let nextId = 0x50000000 + (Date.now() % 0x0fffffff); // has letters in hexadecimal soon, does not repeat after a restart
let turn = 0;

function behave(changes) {
  for (const key of Object.keys(changes)) {
    if (!(key in BEHAVIOUR)) throw new Error(`unknown behaviour: ${key}`);
    if (typeof changes[key] !== typeof BEHAVIOUR[key]) throw new Error(`${key} must be a ${typeof BEHAVIOUR[key]}`);
  }
  Object.assign(behaviour, changes);
}

// ---- octets: the library decodes texts; the tests also want what was on the wire
const decodeMessage = smpp.filters.message.decode;
smpp.filters.message.decode = function decode(value, skipUdh) {
  const decoded = decodeMessage.call(this, value, skipUdh);
  return Buffer.isBuffer(value) && !Buffer.isBuffer(decoded) ? { ...decoded, octets: value } : decoded;
};

const hex = (buffer) => (Buffer.isBuffer(buffer) ? buffer.toString('hex') : '');
const strikes = (perMille, n) => Math.floor((n * perMille) / 1000) > Math.floor(((n - 1) * perMille) / 1000);

function record(pdu, messageId, outcome) {
  const field = pdu.short_message || {};
  const payload = pdu.message_payload;
  const body = payload === undefined ? field : payload;
  const octets = body.octets || Buffer.alloc(0);
  const hasUdh = (pdu.esm_class & 0x40) !== 0 && octets.length > 0;
  return {
    number: stats.submits, outcome, message_id: messageId, at_ms: Date.now(),
    source: pdu.source_addr, source_ton: pdu.source_addr_ton, source_npi: pdu.source_addr_npi,
    destination: pdu.destination_addr, destination_ton: pdu.dest_addr_ton, destination_npi: pdu.dest_addr_npi,
    service_type: pdu.service_type, esm_class: pdu.esm_class, protocol_id: pdu.protocol_id,
    priority_flag: pdu.priority_flag, data_coding: pdu.data_coding, registered_delivery: pdu.registered_delivery,
    short_message: hex(field.octets), message_payload: payload === undefined ? null : hex(payload.octets),
    udh: hasUdh ? hex(octets.subarray(0, octets[0] + 1)) : '',
    sar: pdu.sar_msg_ref_num === undefined ? null
      : [pdu.sar_msg_ref_num, pdu.sar_total_segments, pdu.sar_segment_seqnum],
    text: typeof body.message === 'string' ? body.message : null,
  };
}

// ---- deliveries: receipts and messages from phones
const canReceive = (session, systemId) =>
  session.receives && session.socket.writable && (!systemId || session.systemId === systemId);

function pickReceiver(delivery) {
  if (delivery.session && sessions.has(delivery.session) && canReceive(delivery.session, delivery.systemId)) {
    return delivery.session;
  }
  const receivers = [...sessions].filter((session) => canReceive(session, delivery.systemId));
  return receivers.length ? receivers[turn++ % receivers.length] : null;
}

function deliver(delivery) {
  const session = pickReceiver(delivery);
  if (!session) {
    waiting.push(delivery);
    return;
  }
  delivery.tries += 1;
  stats[`${delivery.kind}_sent`] += 1;
  session.inFlight.add(delivery);
  session.send(deliveryPdu(delivery), (answer) => {
    session.inFlight.delete(delivery);
    if (answer.command_status === 0) {
      stats[`${delivery.kind}_answered`] += 1;
      return;
    }
    stats.receipts_refused += 1;
    if (delivery.tries < REDELIVERIES_MAX) setTimeout(deliver, REDELIVERY_MS, delivery);
  });
}

function deliveryPdu({ kind, fields, tail }) {
  const receipt = kind === 'receipts';
  const { short_message: text, ...rest } = fields;
  const pdu = receipt && behaviour.receipt_pdu === 'data_sm'
    ? new smpp.PDU('data_sm', { ...rest, message_payload: text }) : new smpp.PDU('deliver_sm', { ...fields });
  if (!tail) return pdu;
  const whole = pdu.toBuffer.bind(pdu);
  pdu.toBuffer = () => {
    const octets = Buffer.concat([whole(), Buffer.from(tail, 'hex')]);
    octets.writeUInt32BE(octets.length, 0);
    return octets;
  };
  return pdu;
}

function flushWaiting() {
  const due = waiting;
  waiting = [];
  due.forEach(deliver);
}

function receiptTime() {
  return new Date().toISOString().replace(/[-T:]/g, '').slice(2, 12);
}

function receiptWanted(pdu, delivered) {
  const asked = pdu.registered_delivery & 3; // 1: any end, 2: failure only, 3 (SMPP 5): success only
  return behaviour.receipts && (asked === 1 || (asked === 2 && !delivered) || (asked === 3 && delivered));
}

function queueReceipt(session, pdu, idText, text) {
  const failed = strikes(behaviour.undelivered, stats.accepted);
  if (!receiptWanted(pdu, !failed)) return;
  const stat = failed ? behaviour.undelivered_stat : 'DELIVRD';
  const now = receiptTime();
  const fields = {
    esm_class: behaviour.receipt_esm_class, source_addr: pdu.destination_addr, source_addr_ton: pdu.dest_addr_ton,
    source_addr_npi: pdu.dest_addr_npi, destination_addr: pdu.source_addr, dest_addr_ton: pdu.source_addr_ton,
    dest_addr_npi: pdu.source_addr_npi, data_coding: 0,
    short_message: Buffer.from(`id:${idText} sub:001 dlvrd:00${failed ? 0 : 1} submit date:${now} done date:${now} `
      + `stat:${stat} err:${failed ? '001' : '000'} text:${(text || '').slice(0, 20)}`, 'latin1'),
  };
  if (behaviour.receipt_tlvs) {
    fields.receipted_message_id = idText;
    fields.message_state = MESSAGE_STATES[stat] || 7;
  }
  const delivery = { kind: 'receipts', tries: 0, session, systemId: session.systemId, fields, tail: behaviour.receipt_tail };
  if (behaviour.receipt_first) deliver(delivery);
  else setTimeout(deliver, behaviour.receipt_delay_ms, delivery);
}

// ---- submit_sm
function answer(session, response) {
  const send = () => session.send(response);
  if (behaviour.answer_delay_ms) setTimeout(send, behaviour.answer_delay_ms);
  else send();
}

function refuse(session, pdu, counter, status) {
  stats[counter] += 1;
  if (messages.length < keep) messages.push(record(pdu, '', counter));
  answer(session, pdu.response({ command_status: status }));
}

function accept(session, pdu, cut) {
  const id = nextId++;
  const inHex = id.toString(16);
  const spelled = (form, hexadecimal) => (form ? FORMS[form](id) : hexadecimal ? inHex : String(id));
  const answered = spelled(behaviour.answer_form, behaviour.ids === 'hex_answer');
  const unanswered = !behaviour.answer || (cut && behaviour.drop_unanswered);
  const entry = record(pdu, answered, unanswered ? 'unanswered' : 'accepted');
  if (messages.length < keep) messages.push(entry);
  const key = `${entry.destination} ${entry.short_message} ${entry.message_payload} ${entry.sar}`;
  stats.accepted += 1;
  stats[seen.has(key) ? 'duplicates' : 'distinct'] += 1;
  seen.add(key);
  const receipt = () => queueReceipt(session, pdu, spelled(behaviour.receipt_form, behaviour.ids === 'hex_receipt'), entry.text);
  if (behaviour.receipt_first) receipt();
  if (unanswered) stats.unanswered += 1;
  else answer(session, pdu.response({ message_id: answered }));
  if (!behaviour.receipt_first) receipt();
}

function submit(session, pdu) {
  if (!session.transmits) {
    session.send(pdu.response({ command_status: smpp.ESME_RINVBNDSTS }));
    return;
  }
  stats.submits += 1;
  const n = stats.submits;
  const cut = behaviour.drop_every > 0 && n % behaviour.drop_every === 0;
  if (strikes(behaviour.throttle, n)) refuse(session, pdu, 'throttled', behaviour.throttle_status);
  else if (strikes(behaviour.reject, n)) refuse(session, pdu, 'rejected', behaviour.reject_status);
  else accept(session, pdu, cut);
  if (!cut) return;
  stats.drops += 1;
  if (behaviour.drop_unanswered) session.destroy();
  else session.close();
}

// ---- sessions
function bind(session, pdu, transmits, receives) {
  let status = behaviour.bind_status;
  if (!status && (behaviour.system_id || behaviour.password)) {
    if (pdu.system_id !== behaviour.system_id) status = smpp.ESME_RINVSYSID;
    else if (pdu.password !== behaviour.password) status = smpp.ESME_RINVPASWD;
  }
  if (status) {
    stats.binds_refused += 1;
    session.send(pdu.response({ command_status: status }));
    return;
  }
  stats.binds += 1;
  binds.push({ system_id: pdu.system_id, addr_ton: pdu.addr_ton, addr_npi: pdu.addr_npi, range: pdu.address_range });
  Object.assign(session, { transmits, receives, systemId: pdu.system_id });
  sessions.add(session);
  session.send(pdu.response({ system_id: 'NODE' }));
  if (receives) setImmediate(flushWaiting);
}

function closed(session) {
  sessions.delete(session);
  waiting.push(...session.inFlight);
  session.inFlight.clear();
  setImmediate(flushWaiting);
}

function serve(session) {
  Object.assign(session, { transmits: false, receives: false, systemId: '', inFlight: new Set() });
  session.on('error', () => session.destroy());
  session.on('close', () => closed(session));
  session.on('bind_transceiver', (pdu) => bind(session, pdu, true, true));
  session.on('bind_transmitter', (pdu) => bind(session, pdu, true, false));
  session.on('bind_receiver', (pdu) => bind(session, pdu, false, true));
  session.on('submit_sm', (pdu) => submit(session, pdu));
  session.on('unknown', (pdu) => session.send(pdu.response()));
  session.on('enquire_link', (pdu) => {
    stats.enquire_links += 1;
    session.send(pdu.response());
  });
  session.on('unbind', (pdu) => {
    stats.unbinds += 1;
    session.send(pdu.response());
    session.close();
  });
}

// ---- control
function sendFromPhone({ source, destination, text, octets, udh, dcs, esm_class: esmClass }) {
  const fields = {
    source_addr: source, source_addr_ton: 1, source_addr_npi: 1, destination_addr: destination, esm_class: esmClass || 0,
  };
  if (octets === undefined) {
    const gsm = smpp.encodings.ASCII.match(text); // the library's name for GSM 03.38
    fields.data_coding = gsm ? 0 : 8;
    fields.short_message = gsm ? smpp.encodings.ASCII.encode(text) : smpp.encodings.UCS2.encode(text);
  } else {
    fields.data_coding = dcs || 0;
    fields.short_message = Buffer.from(octets, 'hex');
  }
  if (udh) {
    fields.esm_class |= 0x40;
    fields.short_message = Buffer.concat([Buffer.from(udh, 'hex'), fields.short_message]);
  }
  if (fields.short_message.length > 254) throw new Error('short_message holds 254 octets at most');
  deliver({ kind: 'mo', tries: 0, session: null, systemId: '', fields });
  return {};
}

function dropAll() {
  const dropped = sessions.size;
  stats.drops += dropped;
  sessions.forEach((session) => session.destroy());
  return { dropped };
}

function unbindAll() {
  const leaving = [...sessions];
  leaving.forEach((session) => session.unbind(() => session.close()));
  return { leaving: leaving.length };
}

function snapshot() {
  let inFlight = 0;
  sessions.forEach((session) => { inFlight += session.inFlight.size; });
  return { ...stats, sessions: sessions.size, waiting: waiting.length, in_flight: inFlight };
}

const ROUTES = {
  'GET /messages': () => messages,
  'GET /stats': snapshot,
  'GET /binds': () => binds,
  'POST /mo': sendFromPhone,
  'POST /drop': dropAll,
  'POST /unbind': unbindAll,
  'POST /behaviour': (body) => { behave(body); return behaviour; },
};

function control(request, response) {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const route = ROUTES[`${request.method} ${request.url}`];
    let status = route ? 200 : 404;
    let body = { error: 'no such route' };
    try {
      if (route) body = route(chunks.length ? JSON.parse(Buffer.concat(chunks).toString()) : {});
    } catch (error) {
      status = 400;
      body = { error: error.message };
    }
    response.writeHead(status, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify(body));
  });
}

behave(options.behaviour || {});
const tls = options.tls_key ? { key: fs.readFileSync(options.tls_key), cert: fs.readFileSync(options.tls_cert) } : {};
const smsc = smpp.createServer(tls, serve);
const controller = http.createServer(control);
smsc.listen(options.port || 0, '127.0.0.1', () => {
  controller.listen(options.control_port || 0, '127.0.0.1', () => {
    console.log(JSON.stringify({ smpp_port: smsc.address().port, control_port: controller.address().port }));
  });
});
