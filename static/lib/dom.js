// Finding elements of the page.

/**
 * Returns the element with this id. Throws if the page has no such element.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element with the id ${id}`);
  return /** @type {T} */ (element);
}

/**
 * Returns the first descendant of `root` that matches. Throws if there is no match.
 * @template {Element} [T=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {T}
 */
export function find(root, selector) {
  const element = root.querySelector(selector);
  if (!element) throw new Error(`no element matches ${selector}`);
  return /** @type {T} */ (element);
}
