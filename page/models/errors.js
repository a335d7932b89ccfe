/** What is wrong with a model or with what it is given: one line, with expected and got. */
export class ModelError extends Error {
  constructor(message) {
    super(message);
    this.name = 'ModelError';
  }
}

/**
 * Refuses a vector of another length, or something that is none.
 * @param {string} name what it is called in the error
 * @param {ArrayLike<number>} values
 * @param {number} length
 */
export function requireLength(name, values, length) {
  const got = values?.length;
  if (got === length) return;
  const came = got === undefined ? typeof values : `${got}`;
  throw new ModelError(`${name}: expected ${length} numbers, got ${came}`);
}
