// The parts of ws beside which our frames are read and written, and its client.

export { Receiver, Sender, WebSocket, WebSocketServer } from 'ws';
