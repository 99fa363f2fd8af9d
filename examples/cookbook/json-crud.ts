/**
 * Tasks as JSON: create, read, change and delete them, and say what is wrong with the input.
 *
 * An HttpError reaches the client with its status and its message. A body that is not JSON is 400 without any code of yours, and the message
 * names the line and the column.
 */

import { randomUUID } from 'node:crypto';
import { HttpError, Router, serve } from '../../http/index.ts';

interface Task {
  readonly id: string;
  readonly title: string;
  readonly isDone: boolean;
}

const MAX_TASKS = 10_000;

const tasks = new Map<string, Task>();

/** What comes from outside has no type yet, so each field is checked. */
function taskFrom(id: string, input: unknown): Task {
  const { title, isDone = false } = (input ?? {}) as Partial<Record<keyof Task, unknown>>;
  if (typeof title !== 'string' || title.length < 1 || title.length > 200) {
    throw new HttpError(422, 'title must be a text of 1 to 200 characters');
  }
  if (typeof isDone !== 'boolean') throw new HttpError(422, 'isDone must be true or false');
  return { id, title, isDone };
}

function find(id: string): Task {
  const task = tasks.get(id);
  if (task === undefined) throw new HttpError(404, `there is no task ${id}`);
  return task;
}

const router = new Router();

router.get('/tasks', (_request, response) => response.json([...tasks.values()]));

router.post('/tasks', async (request, response) => {
  const task = taskFrom(randomUUID(), await request.json());
  if (tasks.size >= MAX_TASKS) throw new HttpError(507, 'there are too many tasks');
  tasks.set(task.id, task);
  response.status(201).header('Location', `/tasks/${task.id}`).json(task);
});

router.get('/tasks/:id', ({ params }, response) => response.json(find(params.id)));

router.put('/tasks/:id', async (request, response) => {
  const { id } = request.params;
  const task = taskFrom(id, await request.json());
  find(id); // after the await: the task may have been deleted meanwhile
  tasks.set(id, task);
  response.json(task);
});

router.delete('/tasks/:id', ({ params }, response) => {
  tasks.delete(find(params.id).id);
  response.empty();
});

const server = serve(router, { port: process.env.PORT ?? 8080 });
console.log(server.url);
